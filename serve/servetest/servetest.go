// Package servetest is what tests of the server and of what stands before it share.
package servetest

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/serve"
)

// Quiet logs nothing.
var Quiet = slog.New(slog.DiscardHandler)

// Running is a server that runs until the test ends.
type Running struct {
	URL     string // https where there is TLS
	Server  *serve.Server
	Service *embeddedtest.Service
}

// Start runs a server at a free port, without a log unless cfg has one.
func Start(t testing.TB, cfg serve.Config, reader serve.Reader, publisher serve.Publisher) Running {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Address = listener.Addr().String()
	if cfg.Logger == nil {
		cfg.Logger = Quiet
	}
	server, err := serve.New(cfg, reader, publisher)
	if err != nil {
		t.Fatal(err)
	}
	service := embeddedtest.Run(t, func(ctx context.Context) error { return server.Serve(ctx, listener) })
	scheme := "http://"
	if cfg.TLS != nil {
		scheme = "https://"
	}
	return Running{scheme + cfg.Address, server, service}
}

// Request returns one with a body of JSON, unless it is empty, and with headers: name, value,
// and so on.
func Request(t testing.TB, method, url, body string, header ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
	}
	return r
}

// Reply is what comes back beside the body.
type Reply struct {
	StatusCode int
	Header     http.Header
}

// Ask sends a request, and returns the answer with its body read.
func Ask(t testing.TB, r *http.Request) (Reply, string) {
	t.Helper()
	return AskBy(t, http.DefaultClient, r)
}

// AskBy is Ask by a client.
func AskBy(t testing.TB, client *http.Client, r *http.Request) (Reply, string) {
	t.Helper()
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return Reply{answer.StatusCode, answer.Header}, string(body)
}
