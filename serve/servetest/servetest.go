// Package servetest starts servers for tests of package serve and its middleware, and sends
// requests to them.
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

// Quiet discards all log records.
var Quiet = slog.New(slog.DiscardHandler)

// Running is a server that runs until the end of the test.
type Running struct {
	URL     string                // https with TLS
	Server  *serve.Server         // the server itself
	Service *embeddedtest.Service // to stop it earlier
}

// Start runs a server at a free port. It logs nothing unless cfg has a logger.
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

// Request returns a request with a JSON body, unless body is empty, and with headers, given as
// names and values in turn.
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

// Response is a response without its body.
type Response struct {
	StatusCode int         // HTTP status
	Header     http.Header // headers
}

// Send sends a request and returns the response and its body.
func Send(t testing.TB, r *http.Request) (Response, string) {
	t.Helper()
	return SendWith(t, http.DefaultClient, r)
}

// SendWith is Send with a client.
func SendWith(t testing.TB, client *http.Client, r *http.Request) (Response, string) {
	t.Helper()
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return Response{response.StatusCode, response.Header}, string(body)
}
