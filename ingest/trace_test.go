package ingest

import (
	"slices"
	"testing"

	"github.com/segmentio/kafka-go"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	api "go.opentelemetry.io/otel/trace"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/stream"
)

// Two traced events of a user and an invalid one in one batch.
func TestEventsAreTraced(t *testing.T) {
	h := newHarness(t)
	traces := []string{"1af7651916cd43dd8448eb211c80319c", "2af7651916cd43dd8448eb211c80319c", "3af7651916cd43dd8448eb211c80319c"}
	sent := []kafka.Message{h.event("ann", "boots", 1), h.event("ann", "coat", 2), {Key: []byte("ann"), Value: []byte("{")}}
	for i := range sent {
		sent[i].Headers = []kafka.Header{{Key: "traceparent", Value: []byte("00-" + traces[i] + "-b7ad6b7169203331-01")}}
	}
	h.produce(sent...)
	exporter := tracetest.NewInMemoryExporter()
	r := h.runWithLinger(Config{MaxBatch: 3, Tracing: trace.NewTracerProvider(trace.WithSyncer(exporter))}, h.store, embeddedtest.Timeout)
	h.finished(r, 3)
	r.Stop()

	spans := make(map[string]tracetest.SpanStubs) // by trace
	for _, span := range exporter.GetSpans() {
		id := span.SpanContext.TraceID().String()
		spans[id] = append(spans[id], span)
	}
	for trace, want := range map[string][]string{
		traces[0]: {"append", "decode", "process interactions", "send refreshes"},
		traces[1]: {"append", "decode", "process interactions"},
		traces[2]: {"decode", "process interactions"},
	} {
		if got := names(spans[trace]); !slices.Equal(got, want) {
			t.Errorf("trace %s has spans %q, want %q", trace[:1], got, want)
		}
	}
	root := named(t, spans[traces[0]], "process interactions")
	if parent := root.Parent.SpanID().String(); parent != "b7ad6b7169203331" || root.SpanKind != api.SpanKindConsumer {
		t.Errorf("processing is a %v with parent %s, want a consumer with the producer's span as parent", root.SpanKind, parent)
	}
	for _, span := range spans[traces[0]] {
		if span.Name != root.Name && span.Parent.SpanID() != root.SpanContext.SpanID() {
			t.Errorf("the parent of span %q is not %q", span.Name, root.Name)
		}
	}

	refreshes := h.servers.Messages(h.topics.Refreshes)
	if len(refreshes) != 1 {
		t.Fatalf("there are %d refreshes, want one for both events", len(refreshes))
	}
	send := named(t, spans[traces[0]], "send refreshes")
	if got := api.SpanContextFromContext(stream.ExtractTrace(t.Context(), refreshes[0])); got.SpanID() != send.SpanContext.SpanID() {
		t.Errorf("the refresh has the parent span %s, want %s, that of its sending", got.SpanID(), send.SpanContext.SpanID())
	}
	second := named(t, spans[traces[1]], "process interactions")
	if !linked(send, second) || !linked(second, send) {
		t.Error("the second event's trace and the refresh of both must be linked both ways")
	}
	if invalid := named(t, spans[traces[2]], "process interactions"); invalid.Status.Code != codes.Error || invalid.Status.Description != "not_json" {
		t.Errorf("the invalid event's span has status %+v, want the reason", invalid.Status)
	}
}

func names(spans tracetest.SpanStubs) (names []string) {
	for _, span := range spans {
		names = append(names, span.Name)
	}
	slices.Sort(names)
	return names
}

func named(t *testing.T, spans tracetest.SpanStubs, name string) tracetest.SpanStub {
	t.Helper()
	at := slices.IndexFunc(spans, func(s tracetest.SpanStub) bool { return s.Name == name })
	if at < 0 {
		t.Fatalf("no span %q among %q", name, names(spans))
	}
	return spans[at]
}

func linked(from, to tracetest.SpanStub) bool {
	return slices.ContainsFunc(from.Links, func(l trace.Link) bool { return l.SpanContext.Equal(to.SpanContext) })
}
