package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/urfave/cli/v3"
)

// checkPage checks the files and the API of the page of "all", after an event of user u0.
func checkPage(t *testing.T, url string) {
	t.Helper()
	for path, want := range map[string]string{
		"/": "Recommended for you", "/playground/main.js": "EventSource", "/playground/users/u0": `"item":"i`,
		"/v1/users/u0/recommendations": `"source":"model"`, "/readyz": "ready",
	} {
		answer, err := http.Get(url + path)
		if err != nil {
			t.Errorf("the page: %v", err)
			continue
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s is answered %d %.300s, error %v, want %q in it", path, answer.StatusCode, body, err, want)
		}
	}
}

// If the default port is in use, demo uses another one.
func TestPageFindsAFreePort(t *testing.T) {
	taken, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.Addr().String()
	for _, c := range []struct {
		args   []string
		others bool
		want   string
	}{
		{nil, true, "found"},
		{nil, false, "is in use, perhaps by another genrec"},
		{[]string{"--page", address}, true, "is in use, perhaps by another genrec"},
		{[]string{"--page", ""}, false, "none"},
	} {
		said := ""
		cmd := &cli.Command{
			Name: "genrec", Flags: []cli.Flag{&cli.StringFlag{Name: "page", Value: address}},
			Action: func(ctx context.Context, cmd *cli.Command) error {
				listener, err := listenForPage(ctx, cmd, c.others)
				switch {
				case err != nil:
					said = err.Error()
				case listener == nil:
					said = "none"
				default:
					said = "found"
					if url := pageURL(listener); !strings.HasPrefix(url, "http://localhost:") {
						t.Errorf("the URL of the page is %s", url)
					}
					return listener.Close()
				}
				return nil
			},
		}
		if err := cmd.Run(t.Context(), append([]string{"genrec"}, c.args...)); err != nil || !strings.Contains(said, c.want) {
			t.Errorf("%q, with others %v: %s, error %v, want %q", fmt.Sprint(c.args), c.others, said, err, c.want)
		}
	}
}
