package stream

import (
	"slices"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	api "go.opentelemetry.io/otel/trace"
)

const (
	traceID     = "0af7651916cd43dd8448eb211c80319c"
	traceparent = "00-" + traceID + "-b7ad6b7169203331-01"
)

func TestTraceOfHeaders(t *testing.T) {
	for _, c := range []struct {
		about   string
		headers []kafka.Header
		want    string // trace
	}{
		{"none", nil, ""},
		{"other headers", []kafka.Header{{Key: "source", Value: []byte("web")}}, ""},
		{"a trace", []kafka.Header{{Key: "traceparent", Value: []byte(traceparent)}}, traceID},
		{"the newest of two", []kafka.Header{{Key: "traceparent", Value: []byte("00-1" + traceID[1:] + "-b7ad6b7169203331-01")}, {Key: "traceparent", Value: []byte(traceparent)}}, traceID},
		{"no trace", []kafka.Header{{Key: "traceparent", Value: []byte("00-\xff")}}, ""},
		{"zeros", []kafka.Header{{Key: "traceparent", Value: []byte("00-" + strings.Repeat("0", 32) + "-b7ad6b7169203331-01")}}, ""},
		{"too long", []kafka.Header{{Key: "traceparent", Value: []byte(strings.Repeat(traceparent, 1000))}}, ""},
	} {
		got := api.SpanContextFromContext(TraceOf(t.Context(), kafka.Message{Headers: c.headers}))
		if got.IsValid() != (c.want != "") || got.IsValid() && got.TraceID().String() != c.want {
			t.Errorf("%s: trace %v, want %q", c.about, got.TraceID(), c.want)
		}
	}
}

// A service without spans of its own does not break the traces that pass through it.
func TestTracesPassThrough(t *testing.T) {
	in := kafka.Message{Topic: "in", Headers: []kafka.Header{{Key: "traceparent", Value: []byte(traceparent)}}}
	out := kafka.Message{Headers: []kafka.Header{{Key: "source", Value: []byte("web")}, {Key: "traceparent", Value: []byte("old")}}}
	off := NewTracer(nil)
	off.Process(t.Context(), in).Send(t.Context(), "out", &out).End()
	want := []kafka.Header{{Key: "source", Value: []byte("web")}, {Key: "traceparent", Value: []byte(traceparent)}}
	if !slices.EqualFunc(out.Headers, want, func(a, b kafka.Header) bool { return a.Key == b.Key && string(a.Value) == string(b.Value) }) {
		t.Errorf("the message sent has headers %s, want %s", out.Headers, want)
	}
}

// What nobody follows costs nothing.
func TestMessagesWithoutATraceCostNothing(t *testing.T) {
	off, ctx := NewTracer(nil), t.Context()
	m := kafka.Message{Headers: []kafka.Header{}, Value: make([]byte, 100)}
	out := kafka.Message{}
	n := testing.AllocsPerRun(100, func() {
		followed := off.Process(ctx, m)
		followed.Send(ctx, "out", &out)
		followed.Link(nil)
		followed.Fail("reason")
		followed.End()
	})
	if n != 0 || len(out.Headers) != 0 {
		t.Errorf("a message that nobody follows takes %v allocations and headers %v, want none", n, out.Headers)
	}
}

func TestSamplingIsTheProducers(t *testing.T) {
	exporter := tracetest.NewInMemoryExporter()
	tracer := NewTracer(trace.NewTracerProvider(trace.WithSyncer(exporter)))
	unsampled := strings.TrimSuffix(traceparent, "01") + "00"
	in, out := kafka.Message{Headers: []kafka.Header{{Key: "traceparent", Value: []byte(unsampled)}}}, kafka.Message{}
	followed := tracer.Process(t.Context(), in)
	followed.Send(t.Context(), "out", &out).End()
	followed.End()
	if spans := exporter.GetSpans(); len(spans) != 0 {
		t.Errorf("a trace that its producer did not sample has %d spans here, want none", len(spans))
	}
	if sent := api.SpanContextFromContext(TraceOf(t.Context(), out)); sent.TraceID().String() != traceID || sent.IsSampled() {
		t.Errorf("what is sent is in trace %v, sampled %v; want %v, unsampled", sent.TraceID(), sent.IsSampled(), traceID)
	}
	if tracer.Continue(t.Context(), kafka.Message{}) != nil || !tracer.Process(t.Context(), kafka.Message{}).Recording() {
		t.Error("without a trace in its headers, a message is processed in one of its own, and continues none")
	}
}
