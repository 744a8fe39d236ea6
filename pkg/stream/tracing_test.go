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

func TestExtractTrace(t *testing.T) {
	for _, c := range []struct {
		name    string
		headers []kafka.Header
		want    string // trace
	}{
		{"none", nil, ""},
		{"other headers", []kafka.Header{{Key: "source", Value: []byte("web")}}, ""},
		{"a trace", []kafka.Header{{Key: "traceparent", Value: []byte(traceparent)}}, traceID},
		{"the last of two", []kafka.Header{{Key: "traceparent", Value: []byte("00-1" + traceID[1:] + "-b7ad6b7169203331-01")}, {Key: "traceparent", Value: []byte(traceparent)}}, traceID},
		{"invalid trace", []kafka.Header{{Key: "traceparent", Value: []byte("00-\xff")}}, ""},
		{"zeros", []kafka.Header{{Key: "traceparent", Value: []byte("00-" + strings.Repeat("0", 32) + "-b7ad6b7169203331-01")}}, ""},
		{"too long", []kafka.Header{{Key: "traceparent", Value: []byte(strings.Repeat(traceparent, 1000))}}, ""},
	} {
		got := api.SpanContextFromContext(ExtractTrace(t.Context(), kafka.Message{Headers: c.headers}))
		if got.IsValid() != (c.want != "") || got.IsValid() && got.TraceID().String() != c.want {
			t.Errorf("%s: trace %v, want %q", c.name, got.TraceID(), c.want)
		}
	}
}

// Without a tracer provider, trace context is still propagated.
func TestTracePropagationWithoutProvider(t *testing.T) {
	in := kafka.Message{Topic: "in", Headers: []kafka.Header{{Key: "traceparent", Value: []byte(traceparent)}}}
	out := kafka.Message{Headers: []kafka.Header{{Key: "source", Value: []byte("web")}, {Key: "traceparent", Value: []byte("old")}}}
	off := NewTracer(nil)
	off.StartProcess(t.Context(), in).StartSend(t.Context(), "out", &out).End()
	want := []kafka.Header{{Key: "source", Value: []byte("web")}, {Key: "traceparent", Value: []byte(traceparent)}}
	if !slices.EqualFunc(out.Headers, want, func(a, b kafka.Header) bool { return a.Key == b.Key && string(a.Value) == string(b.Value) }) {
		t.Errorf("the message sent has headers %s, want %s", out.Headers, want)
	}
}

func TestMessagesWithoutTraceCostNothing(t *testing.T) {
	off, ctx := NewTracer(nil), t.Context()
	m := kafka.Message{Headers: []kafka.Header{}, Value: make([]byte, 100)}
	out := kafka.Message{}
	n := testing.AllocsPerRun(100, func() {
		span := off.StartProcess(ctx, m)
		span.StartSend(ctx, "out", &out)
		span.Link(nil)
		span.Fail("reason")
		span.End()
	})
	if n != 0 || len(out.Headers) != 0 {
		t.Errorf("a message without a trace takes %v allocations and headers %v, want none", n, out.Headers)
	}
}

func TestProducerDecidesSampling(t *testing.T) {
	exporter := tracetest.NewInMemoryExporter()
	tracer := NewTracer(trace.NewTracerProvider(trace.WithSyncer(exporter)))
	unsampled := strings.TrimSuffix(traceparent, "01") + "00"
	in, out := kafka.Message{Headers: []kafka.Header{{Key: "traceparent", Value: []byte(unsampled)}}}, kafka.Message{}
	span := tracer.StartProcess(t.Context(), in)
	span.StartSend(t.Context(), "out", &out).End()
	span.End()
	if spans := exporter.GetSpans(); len(spans) != 0 {
		t.Errorf("an unsampled trace has %d spans, want none", len(spans))
	}
	if sent := api.SpanContextFromContext(ExtractTrace(t.Context(), out)); sent.TraceID().String() != traceID || sent.IsSampled() {
		t.Errorf("the sent message has trace %v, sampled %v; want %v, unsampled", sent.TraceID(), sent.IsSampled(), traceID)
	}
	if tracer.ContinueProcess(t.Context(), kafka.Message{}) != nil || !tracer.StartProcess(t.Context(), kafka.Message{}).Recording() {
		t.Error("a message without a trace gets a new one from StartProcess and none from ContinueProcess")
	}
}
