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

func TestPageNeedsNothingOfOthers(t *testing.T) {
	_, url := start(t, playground.Config{})
	answer, html := ask(t, http.MethodGet, url+"/")
	if policy := answer.Header.Get("Content-Security-Policy"); answer.StatusCode != http.StatusOK || !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("the page is answered %d with the policy %q, want a strict one", answer.StatusCode, policy)
	}
	texts := map[string]string{"/": html}
	for _, match := range regexp.MustCompile(`(?:src|href)="(/[^"]*)"`).FindAllStringSubmatch(html, -1) {
		answer, text := ask(t, http.MethodGet, url+match[1])
		if answer.StatusCode != http.StatusOK || answer.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s, which the page names, is answered %d %v", match[1], answer.StatusCode, answer.Header)
		}
		texts[match[1]] = text
	}
	for path, text := range texts {
		for _, outside := range regexp.MustCompile(`https?://[^"' )]*`).FindAllString(text, -1) {
			if !strings.HasPrefix(outside, "http://www.w3.org/") { // names of XML
				t.Errorf("%s names %s: all must come from this server", path, outside)
			}
		}
		if regexp.MustCompile(`<script>|\son[a-z]+="|style="`).MatchString(text) {
			t.Errorf("%s has inline code or style, which the policy forbids", path)
		}
	}
	if _, body := ask(t, http.MethodGet, url+"/v1/users/ann/recommendations"); !strings.Contains(body, "the API: /v1/users/ann/recommendations") {
		t.Errorf("the API beside the page answers %q", body)
	}
}

func TestOtherSitesAreKeptOut(t *testing.T) {
	_, url := start(t, playground.Config{Train: func(context.Context) (string, error) { return "", errors.New("never") }})
	for _, c := range []struct {
		name, method, path string
		header             []string
		want               int
	}{
		{"another site's page trains", http.MethodPost, "/playground/training", []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		{"another port's page trains", http.MethodPost, "/playground/training", []string{"Sec-Fetch-Site", "same-site"}, http.StatusForbidden},
		{"an old browser says where it comes from", http.MethodPost, "/playground/training", []string{"Origin", "http://evil.example"}, http.StatusForbidden},
		{"another site's page sends events", http.MethodPost, "/v1/events", []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		{"a name that leads here", http.MethodGet, "/", []string{"Host", "evil.example"}, http.StatusMisdirectedRequest},
		{"a name that leads here reads", http.MethodGet, "/v1/users/ann/recommendations", []string{"Host", "evil.example:8090"}, http.StatusMisdirectedRequest},
		{"the page itself", http.MethodPost, "/v1/events", []string{"Sec-Fetch-Site", "same-origin"}, http.StatusOK},
		{"localhost", http.MethodGet, "/", []string{"Host", "localhost:1"}, http.StatusOK},
		{"IPv6", http.MethodGet, "/", []string{"Host", "[::1]:8090"}, http.StatusOK},
		{"curl", http.MethodPost, "/v1/events", nil, http.StatusOK},
	} {
		if answer, body := ask(t, c.method, url+c.path, c.header...); answer.StatusCode != c.want {
			t.Errorf("%s: answered %d %s, want %d", c.name, answer.StatusCode, body, c.want)
		}
	}
}

func TestAnswersInWords(t *testing.T) {
	_, url := start(t, playground.Config{})
	_, away := start(t, playground.Config{Reader: fake{away: true}, Sessions: fake{away: true}})
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
		{url + "/playground/training", http.MethodPost, http.StatusNotImplemented, "does not train"},
		{url + "/playground/nothing", http.MethodGet, http.StatusNotFound, "not found"},
		{away + "/playground/users/ann", http.MethodGet, http.StatusServiceUnavailable, "does Redis run?"},
		{away + "/playground/items?id=m1", http.MethodGet, http.StatusServiceUnavailable, "does Redis run?"},
	} {
		if answer, body := ask(t, c.method, c.url); answer.StatusCode != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s %s: answered %d %s, want %d with %q", c.method, c.url, answer.StatusCode, body, c.status, c.want)
		}
	}
}
