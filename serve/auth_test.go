package serve_test

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"

	"genrec/pkg/testservers"
	"genrec/pkg/tlsfiles"
	"genrec/serve"
	"genrec/serve/servetest"
)

func TestTokens(t *testing.T) {
	reader, _ := newReader(t)
	token, other := strings.Repeat("a", serve.MinToken), strings.Repeat("b", serve.MinToken)
	url := servetest.Start(t, serve.Config{Tokens: []string{token, other}}, reader, nil).URL
	for _, c := range []struct {
		path, header string
		want         int
	}{
		{"/v1/users/ann/recommendations", "Bearer " + token, 200},
		{"/v1/users/ann/recommendations", "bearer " + other, 200},
		{"/v1/users/ann/recommendations", "", 401},
		{"/v1/users/ann/recommendations", token, 401},
		{"/v1/users/ann/recommendations", "Basic " + token, 401},
		{"/v1/users/ann/recommendations", "Bearer " + token + "a", 401},
		{"/v1/users/ann/recommendations", "Bearer ", 401},
		{"/healthz", "", 200},
		{"/readyz", "", 200},
		{"/openapi.json", "", 200},
	} {
		r := servetest.Request(t, "GET", url+c.path, "")
		if c.header != "" {
			r.Header.Set("Authorization", c.header)
		}
		response, body := servetest.Send(t, r)
		if response.StatusCode != c.want || strings.Contains(body, token) {
			t.Errorf("%s with %q: got %d %s, want %d", c.path, c.header, response.StatusCode, body, c.want)
		}
		compareWithOpenAPI(t, servetest.Request(t, "GET", url+c.path, ""), response, body)
	}
}

func TestHTTPS(t *testing.T) {
	authority, err := testservers.NewAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	own, err := authority.Issue("serve")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := tlsfiles.Files{Cert: own.Cert, Key: own.Key}.Server()
	if err != nil {
		t.Fatal(err)
	}
	trusting, err := tlsfiles.Files{CA: own.CA}.Client()
	if err != nil {
		t.Fatal(err)
	}
	reader, _ := newReader(t)
	token := strings.Repeat("a", serve.MinToken)
	url := servetest.Start(t, serve.Config{TLS: cfg, Tokens: []string{token}}, reader, nil).URL
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trusting, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	const path = "/v1/users/ann/recommendations"
	response, body := servetest.SendWith(t, client, servetest.Request(t, "GET", url+path, "", "Authorization", "Bearer "+token))
	if response.StatusCode != http.StatusOK || !strings.Contains(body, `"source":"model"`) {
		t.Errorf("over HTTPS with a token: got %d %s, want ann's list", response.StatusCode, body)
	}
	if response, body := servetest.SendWith(t, client, servetest.Request(t, "GET", url+path, "")); response.StatusCode != http.StatusUnauthorized {
		t.Errorf("over HTTPS without a token: got %d %s, want 401", response.StatusCode, body)
	}
	plain := strings.Replace(url, "https", "http", 1)
	if response, body := servetest.Send(t, servetest.Request(t, "GET", plain+path, "", "Authorization", "Bearer "+token)); response.StatusCode != http.StatusBadRequest {
		t.Errorf("without HTTPS: got %d %s, want 400", response.StatusCode, body)
	}
	if answer, err := http.DefaultClient.Do(servetest.Request(t, "GET", url+path, "")); err == nil {
		answer.Body.Close()
		t.Error("a client that does not trust the CA accepted the certificate")
	}
	old := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusting.RootCAs, MaxVersion: tls.VersionTLS11}}} //nolint:gosec // to be rejected
	if answer, err := old.Do(servetest.Request(t, "GET", url+path, "")); err == nil {
		answer.Body.Close()
		t.Error("TLS 1.1 was accepted, want at least 1.2")
	}
}

func TestRateLimit(t *testing.T) {
	reader, _ := newReader(t)
	token, other := strings.Repeat("a", serve.MinToken), strings.Repeat("b", serve.MinToken)
	url := servetest.Start(t, serve.Config{Tokens: []string{token, other}, Rate: .001}, reader, nil).URL
	for _, c := range []struct {
		token string
		want  int
	}{{token, 200}, {token, 429}, {other, 200}, {other, 429}, {"wrong", 401}} {
		r := servetest.Request(t, "GET", url+"/v1/users/ann/recommendations", "", "Authorization", "Bearer "+c.token)
		if response, body := servetest.Send(t, r); response.StatusCode != c.want {
			t.Errorf("got %d %s, want %d: each token has its own limit", response.StatusCode, body, c.want)
		}
	}
	url = servetest.Start(t, serve.Config{Rate: 3}, reader, nil).URL
	statuses := make(map[int]int)
	for range 5 {
		response, _ := servetest.Send(t, servetest.Request(t, "GET", url+"/v1/users/ann/recommendations", ""))
		statuses[response.StatusCode]++
	}
	if statuses[200] < 3 || statuses[429] < 1 {
		t.Errorf("statuses of 5 concurrent requests from one address are %v, want 3 of 200", statuses)
	}
}
