package serve_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/event"
	"genrec/pkg/realservers"
	"genrec/pkg/recs"
	"genrec/pkg/stream"
	"genrec/pkg/tlsfiles"
	"genrec/serve"
	"genrec/serve/servetest"
)

// testdata/*.http hold requests, and after each what comes back:
//
//	> GET /v1/users/ann/recommendations?n=1
//	> a line of its body
//	200 application/json
//	a line of the answer
//
// Both are also held against openapi.json, but for requests that are refused.
func TestGoldenRequests(t *testing.T) {
	reader, _ := newReader(t)
	servers, _ := embeddedtest.Start(t)
	producer := serve.NewProducer(servers.Cluster(), servetest.Quiet)
	defer producer.Close()
	url := servetest.Start(t, serve.Config{}, reader, producer).URL
	readOnly := servetest.Start(t, serve.Config{}, reader, nil).URL

	files, err := filepath.Glob("testdata/*.http")
	if err != nil || len(files) == 0 {
		t.Fatalf("no testdata/*.http (%v)", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		at := url
		if filepath.Base(file) == "without_kafka.http" {
			at = readOnly
		}
		var got strings.Builder
		for _, block := range strings.Split(strings.TrimSpace(string(text)), "\n\n") {
			got.WriteString(rehearse(t, at, block) + "\n\n")
		}
		if got := strings.TrimSpace(got.String()) + "\n"; got != string(text) {
			if os.Getenv("GENREC_UPDATE") != "" {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			t.Errorf("%s: answers are now\n%s\nGENREC_UPDATE=1 go test ./serve writes them down", file, got)
		}
	}
	messages := servers.Messages(stream.DefaultTopics().Interactions)
	var users []string
	for _, m := range messages {
		users = append(users, string(m.Key))
		if _, err := event.Decode(m.Value, m.Time, event.DefaultLimits()); err != nil {
			t.Errorf("%s is in the stream: %v", m.Value, err)
		}
	}
	if len(users) != 3 {
		t.Errorf("the stream has events of %v, want the 3 that were accepted", users)
	}
}

// rehearse sends the request of a block and returns the block as it should be.
func rehearse(t *testing.T, url, block string) string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(block) {
		if line, sent := strings.CutPrefix(line, "> "); sent {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	method, path, _ := strings.Cut(lines[0], " ")
	body := strings.Join(lines[1:], "\n")
	r := servetest.Request(t, method, url+path, body)
	response, answer := servetest.Ask(t, r)
	compareWithOpenAPI(t, servetest.Request(t, method, url+path, body), response, answer)
	return fmt.Sprintf("> %s\n%d %s\n%s", strings.Join(lines, "\n> "), response.StatusCode, response.Header.Get("Content-Type"), answer)
}

func loadOpenAPI(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(serve.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func compareWithOpenAPI(t *testing.T, r *http.Request, response servetest.Reply, body string) {
	t.Helper()
	doc := loadOpenAPI(t)
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	route, parameters, err := router.FindRoute(r)
	if err != nil {
		if response.StatusCode != http.StatusNotFound && response.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s %s is answered by %d, but not in openapi.json: %v", r.Method, r.URL, response.StatusCode, err)
		}
		return
	}
	input := &openapi3filter.RequestValidationInput{
		Request: r, PathParams: parameters, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true},
	}
	if err := openapi3filter.ValidateRequest(t.Context(), input); err != nil && response.StatusCode < 400 {
		t.Errorf("%s %s is accepted, but not by openapi.json: %v", r.Method, r.URL, err)
	}
	output := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: response.StatusCode, Header: response.Header, Options: input.Options,
	}
	output.SetBodyBytes([]byte(body))
	if err := openapi3filter.ValidateResponse(t.Context(), output); err != nil {
		t.Errorf("the answer to %s %s is not as openapi.json says: %v", r.Method, r.URL, err)
	}
}

func TestOpenAPIIsValidAndComplete(t *testing.T) {
	doc := loadOpenAPI(t)
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	described := make(map[string]bool)
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			described[method+" "+path] = true
		}
	}
	for _, route := range serve.Routes() {
		if !described[route] {
			t.Errorf("openapi.json lacks %s", route)
		}
		delete(described, route)
	}
	for route := range described {
		t.Errorf("openapi.json describes %s, which there is not", route)
	}
}

func TestOpenAPIHasTheSchemaOfEvents(t *testing.T) {
	var doc struct {
		Components struct{ Schemas map[string]any }
	}
	var schema map[string]any
	text := bytes.ReplaceAll(event.Schema, []byte("#/$defs/id"), []byte("#/components/schemas/ID"))
	if err := errors.Join(json.Unmarshal(serve.OpenAPI, &doc), json.Unmarshal(text, &schema)); err != nil {
		t.Fatal(err)
	}
	id := schema["$defs"].(map[string]any)["id"]
	delete(schema, "$defs")
	delete(schema, "$schema")
	for name, want := range map[string]any{"Event": schema, "ID": id} {
		got, _ := json.Marshal(doc.Components.Schemas[name])
		if want, _ := json.Marshal(want); !bytes.Equal(got, want) {
			t.Errorf("in openapi.json, %s is\n%s\nand in pkg/event/schema.json\n%s", name, got, want)
		}
	}
}

// broken is a Redis and a Kafka that are away.
type broken struct{}

func (broken) Read(context.Context, []string, recs.Query) ([]recs.Answer, error) {
	return nil, errors.New("dial tcp 10.0.0.7: secret")
}

func (broken) Ping(context.Context) error { return errors.New("dial tcp 10.0.0.7: secret") }

func (broken) Publish(context.Context, []serve.Event) error { return errors.New("secret") }

func TestOutagesAreSaidInWords(t *testing.T) {
	url := servetest.Start(t, serve.Config{}, broken{}, broken{}).URL
	for _, c := range []struct{ method, path, body, want string }{
		{"GET", "/v1/users/ann/recommendations", "", "the recommendations cannot be read"},
		{"POST", "/v1/recommendations", `{"user_ids": ["ann"]}`, "the recommendations cannot be read"},
		{"POST", "/v1/events", `{"event_id": "1", "user_id": "ann", "item_id": "i", "timestamp": 1750000000000}`, "events that come twice count once"},
		{"GET", "/readyz", "", "Redis does not answer"},
	} {
		r := servetest.Request(t, c.method, url+c.path, c.body)
		response, body := servetest.Ask(t, r)
		if response.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, c.want) || strings.Contains(body, "secret") {
			t.Errorf("%s: got %d %s; want 503 with %q and no word of the servers", c.path, response.StatusCode, body, c.want)
		}
		compareWithOpenAPI(t, servetest.Request(t, c.method, url+c.path, c.body), response, body)
	}
	if response, _ := servetest.Ask(t, servetest.Request(t, "GET", url+"/healthz", "")); response.StatusCode != http.StatusOK {
		t.Errorf("healthz is %d: a restart would not bring Redis back", response.StatusCode)
	}
}

func TestReadyAgainWhenRedisIsBack(t *testing.T) {
	servers, rdb := embeddedtest.Start(t)
	fill(t, rdb)
	url := servetest.Start(t, serve.Config{}, recs.New(rdb, recs.Options{}), nil).URL
	status := func(path string) int {
		response, _ := servetest.Ask(t, servetest.Request(t, "GET", url+path, ""))
		return response.StatusCode
	}
	servers.StopRedis()
	if ready, read := status("/readyz"), status("/v1/users/ann/recommendations"); ready != 503 || read != 503 {
		t.Errorf("without Redis, readyz is %d and reading %d; want 503", ready, read)
	}
	servers.RestartRedis()
	embeddedtest.Eventually(t, func() string {
		if ready, read := status("/readyz"), status("/v1/users/ann/recommendations"); ready != 200 || read != 200 {
			return fmt.Sprintf("with Redis again, readyz is %d and reading %d; want 200", ready, read)
		}
		return ""
	})
}

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
		response, body := servetest.Ask(t, r)
		if response.StatusCode != c.want || strings.Contains(body, token) {
			t.Errorf("%s with %q: got %d %s, want %d", c.path, c.header, response.StatusCode, body, c.want)
		}
		compareWithOpenAPI(t, servetest.Request(t, "GET", url+c.path, ""), response, body)
	}
}

// With TLS there is no way around it, and a token passes it as it does without.
func TestHTTPS(t *testing.T) {
	authority, err := realservers.NewAuthority(t.TempDir())
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
	response, body := servetest.AskBy(t, client, servetest.Request(t, "GET", url+path, "", "Authorization", "Bearer "+token))
	if response.StatusCode != http.StatusOK || !strings.Contains(body, `"source":"model"`) {
		t.Errorf("over HTTPS with a token: got %d %s, want the list", response.StatusCode, body)
	}
	if response, body := servetest.AskBy(t, client, servetest.Request(t, "GET", url+path, "")); response.StatusCode != http.StatusUnauthorized {
		t.Errorf("over HTTPS without a token: got %d %s, want 401", response.StatusCode, body)
	}
	plain := strings.Replace(url, "https", "http", 1)
	if response, body := servetest.Ask(t, servetest.Request(t, "GET", plain+path, "", "Authorization", "Bearer "+token)); response.StatusCode != http.StatusBadRequest {
		t.Errorf("without HTTPS: got %d %s, want 400", response.StatusCode, body)
	}
	if answer, err := http.DefaultClient.Do(servetest.Request(t, "GET", url+path, "")); err == nil {
		answer.Body.Close()
		t.Error("a client that does not know the authority is served: it should not trust the certificate")
	}
	old := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusting.RootCAs, MaxVersion: tls.VersionTLS11}}} //nolint:gosec // that is the point
	if answer, err := old.Do(servetest.Request(t, "GET", url+path, "")); err == nil {
		answer.Body.Close()
		t.Error("TLS 1.1 is served: at least 1.2 is wanted")
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
		if response, body := servetest.Ask(t, r); response.StatusCode != c.want {
			t.Errorf("got %d %s, want %d: each token has its own limit", response.StatusCode, body, c.want)
		}
	}
	url = servetest.Start(t, serve.Config{Rate: 3}, reader, nil).URL
	statuses := make(map[int]int)
	for range 5 {
		response, _ := servetest.Ask(t, servetest.Request(t, "GET", url+"/v1/users/ann/recommendations", ""))
		statuses[response.StatusCode]++
	}
	if statuses[200] < 3 || statuses[429] < 1 {
		t.Errorf("got %v for 5 requests at once from one address, want 3 answers", statuses)
	}
}

// slow answers when it is told to.
type slow struct {
	broken
	asked, release chan struct{}
}

func (s slow) Read(_ context.Context, users []string, _ recs.Query) ([]recs.Answer, error) {
	s.asked <- struct{}{}
	<-s.release
	return make([]recs.Answer, len(users)), nil
}

func TestStopLetsRequestsFinish(t *testing.T) {
	reader := slow{asked: make(chan struct{}), release: make(chan struct{})}
	running := servetest.Start(t, serve.Config{}, reader, nil)
	var wait sync.WaitGroup
	wait.Go(func() {
		response, body := servetest.Ask(t, servetest.Request(t, "GET", running.URL+"/v1/users/ann/recommendations", ""))
		if response.StatusCode != http.StatusOK {
			t.Errorf("a request that was there when the server was stopped got %d %s", response.StatusCode, body)
		}
	})
	<-reader.asked
	wait.Go(running.Service.Stop)
	close(reader.release)
	wait.Wait()
}

func TestRequestsInFlightAreBounded(t *testing.T) {
	reader := slow{asked: make(chan struct{}), release: make(chan struct{})}
	url := servetest.Start(t, serve.Config{}, reader, nil).URL
	post := func() (servetest.Reply, string) {
		return servetest.Ask(t, servetest.Request(t, "POST", url+"/v1/recommendations", `{"user_ids": ["ann"]}`))
	}
	var wait sync.WaitGroup
	for range serve.MaxBodies {
		wait.Go(func() { post() })
	}
	for range serve.MaxBodies {
		<-reader.asked
	}
	if response, body := post(); response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
		t.Errorf("one more request got %d %s, want 503 and Retry-After", response.StatusCode, body)
	}
	close(reader.release)
	wait.Wait()
}

func TestWrongConfigIsExplained(t *testing.T) {
	for _, c := range []struct {
		cfg  serve.Config
		want string
	}{
		{serve.Config{Address: "x:1", Tokens: []string{strings.Repeat("a", serve.MinToken), "secret"}}, "token 2 of 2 has 6 characters"},
		{serve.Config{Address: "x:1", Rate: -1}, "rate of -1"},
		{serve.Config{}, "no address"},
	} {
		if _, err := serve.New(c.cfg, broken{}, nil); err == nil || !strings.Contains(err.Error(), c.want) || regexp.MustCompile("secret|aaa").MatchString(err.Error()) {
			t.Errorf("error %v, want one with %q and no token", err, c.want)
		}
	}
}
