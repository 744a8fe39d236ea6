package scenarios

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/event"
	"genrec/pkg/registry"
	"genrec/pkg/stream"
)

const (
	traceID      = "0af7651916cd43dd8448eb211c80319c"
	producerSpan = "b7ad6b7169203331"
)

// One trace tells what became of one event, from its producer to the recommendations.
func TestOneEventIsOneTrace(t *testing.T) {
	w := newWorld(t)
	exporter := tracetest.NewInMemoryExporter()
	w.tracing = trace.NewTracerProvider(trace.WithSyncer(exporter))
	w.models.serve([]registry.Share{{Version: "v1", Percent: 100}})
	w.start("ingest")
	w.start("infer")
	w.produce(event.Event{ID: "1", Time: time.Now(), User: "ann", Item: "boots", Type: event.DefaultType},
		kafka.Header{Key: "traceparent", Value: []byte("00-" + traceID + "-" + producerSpan + "-01")})

	want := map[string]string{ // by span, that above it
		"process interactions": producerSpan,
		"decode":               "process interactions", "append": "process interactions", "send refreshes": "process interactions",
		"process refreshes": "send refreshes",
		"wait":              "process refreshes", "batch": "process refreshes",
		"read": "process refreshes", "generate": "process refreshes", "write": "process refreshes",
	}
	var spans tracetest.SpanStubs
	embeddedtest.Eventually(t, func() string {
		if spans = exporter.GetSpans(); len(spans) < len(want) {
			return "the trace of the event is not complete: look for spans that are begun and not ended"
		}
		return ""
	})
	w.stop("ingest")
	w.stop("infer")

	ids := make(map[string]string)
	for _, span := range spans {
		ids[span.SpanContext.SpanID().String()] = span.Name
	}
	for _, span := range spans {
		above := span.Parent.SpanID().String()
		if name := ids[above]; name != "" {
			above = name
		}
		if span.SpanContext.TraceID().String() != traceID || above != want[span.Name] {
			t.Errorf("span %q of trace %s is below %q, want it of the event's trace and below %q", span.Name, span.SpanContext.TraceID(), above, want[span.Name])
		}
		delete(want, span.Name)
	}
	for missing := range want {
		t.Errorf("the trace has no span %q", missing)
	}
	generate := spans[slices.IndexFunc(spans, func(s tracetest.SpanStub) bool { return s.Name == "generate" })]
	if len(generate.Links) != 1 || ids[generate.Links[0].SpanContext.SpanID().String()] != "batch" {
		t.Errorf("generating is linked with %v, want the batch", generate.Links)
	}
}

func (w *world) produce(e event.Event, headers ...kafka.Header) {
	w.t.Helper()
	value, err := json.Marshal(e)
	if err != nil {
		w.t.Fatal(err)
	}
	writer := stream.NewWriter(w.servers.Cluster(), w.topics.Interactions)
	defer writer.Close()
	if err := writer.WriteMessages(w.t.Context(), kafka.Message{Key: []byte(e.User), Value: value, Headers: headers}); err != nil {
		w.t.Fatal(err)
	}
}
