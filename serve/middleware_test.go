package serve_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/stream"
	"genrec/serve"
	"genrec/serve/servetest"
)

func TestMetrics(t *testing.T) {
	reader, _ := newReader(t)
	token := strings.Repeat("a", serve.MinToken)
	running := servetest.Start(t, serve.Config{Tokens: []string{token}, Rate: 4}, reader, nil)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(running.Server.Metrics()...)
	send := func(method, path, body string) {
		servetest.Send(t, servetest.Request(t, method, running.URL+path, body, "Authorization", "Bearer "+token))
	}
	send("GET", "/v1/users/ann/recommendations", "")
	send("POST", "/v1/recommendations", `{"user_ids": ["ann", "kim", "bob"], "category": ["shoes"]}`)
	send("GET", "/v1/users/ann/recommendations?category=cars", "")
	send("GET", "/v1/users/ann/recommendations?m=3", "")
	for range 20 {
		send("POST", "/v1/events", "{}") // 501, then 429
	}
	send("PUT", "/healthz", "")
	send("GET", "/v1/users/ann", "")

	want := `
# HELP genrec_http_answers_total Users answered over HTTP by the source of their first item.
# TYPE genrec_http_answers_total counter
genrec_http_answers_total{source="context"} 1
genrec_http_answers_total{source="model"} 2
genrec_http_answers_total{source="none"} 1
genrec_http_answers_total{source="popular"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "genrec_http_answers_total"); err != nil {
		t.Error(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[string]uint64)
	for _, family := range families {
		if family.GetName() == "genrec_http_request_seconds" {
			for _, m := range family.Metric { // the labels are sorted: code, route
				counts[m.Label[0].GetValue()+" "+m.Label[1].GetValue()] = m.Histogram.GetSampleCount()
			}
		}
	}
	const user = "/v1/users/{id}/recommendations"
	for series, want := range map[string]uint64{"200 " + user: 2, "400 " + user: 1, "200 /v1/recommendations": 1, "405 /healthz": 1, "404 other": 1} {
		if counts[series] != want {
			t.Errorf("%d requests of %s, want %d: %v", counts[series], series, want, counts)
		}
	}
	if counts["429 /v1/events"] == 0 {
		t.Errorf("no request exceeded the rate limit: %v", counts)
	}
}

// An event accepted over HTTP continues the trace of the request. No span contains the user's ID.
func TestEventsContinueTheTraceOfTheRequest(t *testing.T) {
	const traceID, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	reader, _ := newReader(t)
	for _, traced := range []bool{true, false} {
		servers, _ := embeddedtest.Start(t)
		producer := serve.NewProducer(servers.Cluster(), servetest.Quiet)
		defer producer.Close()
		exporter := tracetest.NewInMemoryExporter()
		cfg := serve.Config{}
		if traced {
			cfg.Tracing = sdk.NewTracerProvider(sdk.WithSyncer(exporter))
		}
		running := servetest.Start(t, cfg, reader, producer)
		r := servetest.Request(t, "POST", running.URL+"/v1/events", `{"event_id": "1", "user_id": "ann", "item_id": "i", "timestamp": 1750000000000}`, "Traceparent", "00-"+traceID+"-"+parent+"-01")
		if response, body := servetest.Send(t, r); response.StatusCode != http.StatusAccepted {
			t.Fatalf("got %d %s", response.StatusCode, body)
		}
		servetest.Send(t, servetest.Request(t, "GET", running.URL+"/v1/users/ann/recommendations", ""))
		servetest.Send(t, servetest.Request(t, "GET", running.URL+"/healthz", ""))
		running.Service.Stop()

		messages := servers.Messages(stream.DefaultTopics().Interactions)
		if len(messages) != 1 {
			t.Fatalf("the stream has %d messages, want 1", len(messages))
		}
		sent := trace.SpanContextFromContext(stream.ExtractTrace(t.Context(), messages[0]))
		if sent.TraceID().String() != traceID {
			t.Errorf("tracing %v: the event is in trace %v, want that of the request", traced, sent.TraceID())
		}
		if !traced {
			if sent.SpanID().String() != parent {
				t.Errorf("without tracing, the parent of the event is %v, want that of the request", sent.SpanID())
			}
			continue
		}
		var names []string
		spans := exporter.GetSpans()
		for _, span := range spans {
			names = append(names, span.Name)
			for _, a := range span.Attributes {
				if strings.Contains(a.Value.AsString(), "ann") {
					t.Errorf("span %s contains the user's ID: %v", span.Name, a)
				}
			}
		}
		if got := strings.Join(names, ", "); got != "send interactions, POST /v1/events, GET /v1/users/{id}/recommendations" {
			t.Fatalf("the spans are %s", got)
		}
		if spans[0].SpanContext.SpanID() != sent.SpanID() || spans[0].Parent.SpanID() != spans[1].SpanContext.SpanID() || spans[1].Parent.SpanID().String() != parent {
			t.Errorf("the parent of the event is %v, the spans are %+v", sent.SpanID(), spans)
		}
		if spans[2].SpanContext.TraceID().String() == traceID {
			t.Error("a request without a trace continues that of another request")
		}
	}
}
