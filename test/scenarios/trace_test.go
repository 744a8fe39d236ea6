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

// One trace covers an event from its producer to the recommendations.
func TestOneEventIsOneTrace(t *testing.T) {
	env := newEnvironment(t)
	exporter := tracetest.NewInMemoryExporter()
	env.tracing = trace.NewTracerProvider(trace.WithSyncer(exporter))
	env.models.serve([]registry.Share{{Version: "v1", Percent: 100}})
	env.start("ingest")
	env.start("infer")
	env.produce(event.Event{ID: "1", Time: time.Now(), User: "ann", Item: "boots", Type: event.DefaultType},
		kafka.Header{Key: "traceparent", Value: []byte("00-" + traceID + "-" + producerSpan + "-01")})

	want := map[string]string{ // parents by span
		"process interactions": producerSpan,
		"decode":               "process interactions", "append": "process interactions", "send refreshes": "process interactions",
		"process refreshes": "send refreshes",
		"wait":              "process refreshes", "batch": "process refreshes",
		"read": "process refreshes", "generate": "process refreshes", "write": "process refreshes",
	}
	var spans tracetest.SpanStubs
	embeddedtest.Eventually(t, func() string {
		if spans = exporter.GetSpans(); len(spans) < len(want) {
			return "the trace of the event is incomplete: look for spans that have not ended"
		}
		return ""
	})
	env.stop("ingest")
	env.stop("infer")

	ids := make(map[string]string)
	for _, span := range spans {
		ids[span.SpanContext.SpanID().String()] = span.Name
	}
	for _, span := range spans {
		parent := span.Parent.SpanID().String()
		if name := ids[parent]; name != "" {
			parent = name
		}
		if span.SpanContext.TraceID().String() != traceID || parent != want[span.Name] {
			t.Errorf("span %q of trace %s has parent %q, want the trace of the event and parent %q", span.Name, span.SpanContext.TraceID(), parent, want[span.Name])
		}
		delete(want, span.Name)
	}
	for missing := range want {
		t.Errorf("the trace has no span %q", missing)
	}
	generate := spans[slices.IndexFunc(spans, func(s tracetest.SpanStub) bool { return s.Name == "generate" })]
	if len(generate.Links) != 1 || ids[generate.Links[0].SpanContext.SpanID().String()] != "batch" {
		t.Errorf("generate has the links %v, want the batch", generate.Links)
	}
}

func (env *environment) produce(e event.Event, headers ...kafka.Header) {
	env.t.Helper()
	value, err := json.Marshal(e)
	if err != nil {
		env.t.Fatal(err)
	}
	writer := stream.NewWriter(env.servers.Cluster(), env.topics.Interactions)
	defer writer.Close()
	if err := writer.WriteMessages(env.t.Context(), kafka.Message{Key: []byte(e.User), Value: value, Headers: headers}); err != nil {
		env.t.Fatal(err)
	}
}
