package playground_test

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"genrec/serve/playground"
)

func TestPageLoadsFromItsOwnServerOnly(t *testing.T) {
	_, url := start(t, playground.Config{})
	answer, html := ask(t, http.MethodGet, url+"/")
	if policy := answer.Header.Get("Content-Security-Policy"); answer.StatusCode != http.StatusOK || !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("the page: got %d with content security policy %q, want a strict one", answer.StatusCode, policy)
	}
	texts := map[string]string{"/": html}
	for _, match := range regexp.MustCompile(`(?:src|href)="(/[^"]*)"`).FindAllStringSubmatch(html, -1) {
		answer, text := ask(t, http.MethodGet, url+match[1])
		if answer.StatusCode != http.StatusOK || answer.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s, which the page references: got %d %v", match[1], answer.StatusCode, answer.Header)
		}
		texts[match[1]] = text
	}
	for path, text := range texts {
		for _, outside := range regexp.MustCompile(`https?://[^"' )]*`).FindAllString(text, -1) {
			if !strings.HasPrefix(outside, "http://www.w3.org/") { // XML namespaces
				t.Errorf("%s references %s: everything must come from this server", path, outside)
			}
		}
		if regexp.MustCompile(`<script>|\son[a-z]+="|style="`).MatchString(text) {
			t.Errorf("%s has inline code or style, which the content security policy forbids", path)
		}
	}
	if _, body := ask(t, http.MethodGet, url+"/v1/users/ann/recommendations"); !strings.Contains(body, "the API: /v1/users/ann/recommendations") {
		t.Errorf("the API behind the page answers %q", body)
	}
}

func TestCrossOriginRequestsAreRejected(t *testing.T) {
	_, url := start(t, playground.Config{Train: func(context.Context) (string, error) { return "", errors.New("never") }})
	for _, c := range []struct {
		name, method, path string
		header             []string
		want               int
	}{
		{"cross-site training", http.MethodPost, "/playground/training", []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		{"same-site training from another port", http.MethodPost, "/playground/training", []string{"Sec-Fetch-Site", "same-site"}, http.StatusForbidden},
		{"an old browser that sends Origin", http.MethodPost, "/playground/training", []string{"Origin", "http://evil.example"}, http.StatusForbidden},
		{"cross-site events", http.MethodPost, "/v1/events", []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		{"DNS rebinding", http.MethodGet, "/", []string{"Host", "evil.example"}, http.StatusMisdirectedRequest},
		{"DNS rebinding of the API", http.MethodGet, "/v1/users/ann/recommendations", []string{"Host", "evil.example:8090"}, http.StatusMisdirectedRequest},
		{"the page itself", http.MethodPost, "/v1/events", []string{"Sec-Fetch-Site", "same-origin"}, http.StatusOK},
		{"localhost", http.MethodGet, "/", []string{"Host", "localhost:1"}, http.StatusOK},
		{"IPv6", http.MethodGet, "/", []string{"Host", "[::1]:8090"}, http.StatusOK},
		{"curl", http.MethodPost, "/v1/events", nil, http.StatusOK},
	} {
		if answer, body := ask(t, c.method, url+c.path, c.header...); answer.StatusCode != c.want {
			t.Errorf("%s: got %d %s, want %d", c.name, answer.StatusCode, body, c.want)
		}
	}
}

func TestResponses(t *testing.T) {
	_, url := start(t, playground.Config{})
	_, down := start(t, playground.Config{Reader: fake{down: true}, Sessions: fake{down: true}})
	for _, c := range []struct {
		url, method string
		status      int
		want        string
	}{
		{url + "/playground/users/ann", http.MethodGet, http.StatusOK, `{"history":[{"item":"new","type":"click","at":"0001-01-01T00:00:00Z"},{"item":"old"`},
		{url + "/playground/items?id=m1&id=m2", http.MethodGet, http.StatusOK, `{"m1":{"title":"Red kettle"}}`},
		{url + "/playground/items?" + strings.Repeat("id=x&", 101), http.MethodGet, http.StatusBadRequest, "at most 100"},
		{url + "/playground/users/%7Dx", http.MethodGet, http.StatusBadRequest, "user"},
		{url + "/playground/stream?user=%7Dx", http.MethodGet, http.StatusBadRequest, "user"},
		{url + "/playground/training", http.MethodPost, http.StatusNotImplemented, "does not train models"},
		{url + "/playground/nothing", http.MethodGet, http.StatusNotFound, "not found"},
		{down + "/playground/users/ann", http.MethodGet, http.StatusServiceUnavailable, "is Redis running?"},
		{down + "/playground/items?id=m1", http.MethodGet, http.StatusServiceUnavailable, "is Redis running?"},
	} {
		if answer, body := ask(t, c.method, c.url); answer.StatusCode != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s %s: got %d %s, want %d with %q", c.method, c.url, answer.StatusCode, body, c.status, c.want)
		}
	}
}
