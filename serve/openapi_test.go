package serve_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/event"
	"genrec/pkg/stream"
	"genrec/serve"
	"genrec/serve/servetest"
)

// testdata/*.http contain requests, each followed by the expected response:
//
//	> GET /v1/users/ann/recommendations?n=1
//	> a line of its body
//	200 application/json
//	a line of the response
//
// Responses, and requests that are accepted, are also validated against openapi.json.
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
			got.WriteString(replay(t, at, block) + "\n\n")
		}
		if got := strings.TrimSpace(got.String()) + "\n"; got != string(text) {
			if os.Getenv("GENREC_UPDATE") != "" {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			t.Errorf("%s: responses are now\n%s\nGENREC_UPDATE=1 go test ./serve updates the file", file, got)
		}
	}
	messages := servers.Messages(stream.DefaultTopics().Interactions)
	var users []string
	for _, m := range messages {
		users = append(users, string(m.Key))
		if _, err := event.Decode(m.Value, m.Time, event.DefaultLimits()); err != nil {
			t.Errorf("invalid event %s in the stream: %v", m.Value, err)
		}
	}
	if len(users) != 3 {
		t.Errorf("the stream has events of %v, want the 3 that were accepted", users)
	}
}

// replay sends the request of a block and returns the block with the actual response.
func replay(t *testing.T, url, block string) string {
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
	response, answer := servetest.Send(t, r)
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

func compareWithOpenAPI(t *testing.T, r *http.Request, response servetest.Response, body string) {
	t.Helper()
	doc := loadOpenAPI(t)
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	route, parameters, err := router.FindRoute(r)
	if err != nil {
		if response.StatusCode != http.StatusNotFound && response.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s %s responds with %d, but is not in openapi.json: %v", r.Method, r.URL, response.StatusCode, err)
		}
		return
	}
	input := &openapi3filter.RequestValidationInput{
		Request: r, PathParams: parameters, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true},
	}
	if err := openapi3filter.ValidateRequest(t.Context(), input); err != nil && response.StatusCode < 400 {
		t.Errorf("%s %s is accepted, but invalid by openapi.json: %v", r.Method, r.URL, err)
	}
	output := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: response.StatusCode, Header: response.Header, Options: input.Options,
	}
	output.SetBodyBytes([]byte(body))
	if err := openapi3filter.ValidateResponse(t.Context(), output); err != nil {
		t.Errorf("the response to %s %s is invalid by openapi.json: %v", r.Method, r.URL, err)
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
		t.Errorf("openapi.json describes %s, which does not exist", route)
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
			t.Errorf("%s is\n%s\nin openapi.json, and in pkg/event/schema.json\n%s", name, got, want)
		}
	}
}
