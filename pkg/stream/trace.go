package stream

import (
	"context"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Tracer follows messages through a service by spans of OpenTelemetry.
type Tracer struct {
	tracer trace.Tracer
	roots  bool
}

// NewTracer returns one without spans if the provider is nil; the traces of messages are
// passed on even then.
func NewTracer(provider trace.TracerProvider) Tracer {
	if provider == nil {
		provider = noop.NewTracerProvider()
	}
	_, off := provider.(noop.TracerProvider)
	return Tracer{tracer: provider.Tracer("genrec"), roots: !off}
}

// Trace is a span in the trace of a message. A nil one does nothing: it stands for a
// message that nobody follows. It has no user's id, which an erasure would not find there.
type Trace struct {
	tracer trace.Tracer
	span   trace.Span
}

// Process begins the span of a message's processing: in the trace that its headers name
// (W3C traceparent), or in one of its own.
func (t Tracer) Process(ctx context.Context, m kafka.Message) *Trace {
	if !t.roots {
		return t.Continue(ctx, m)
	}
	return t.process(TraceOf(ctx, m), m)
}

// Continue is Process for messages that are of no interest by themselves: nil without a
// trace in the headers.
func (t Tracer) Continue(ctx context.Context, m kafka.Message) *Trace {
	if len(m.Headers) == 0 {
		return nil
	}
	ctx = TraceOf(ctx, m)
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return nil
	}
	return t.process(ctx, m)
}

func (t Tracer) process(ctx context.Context, m kafka.Message) *Trace {
	_, span := t.tracer.Start(ctx, "process "+m.Topic, trace.WithSpanKind(trace.SpanKindConsumer))
	if span.IsRecording() {
		span.SetAttributes(semconv.MessagingSystemKafka, semconv.MessagingOperationTypeProcess,
			semconv.MessagingDestinationName(m.Topic), semconv.MessagingKafkaOffset(int(m.Offset)))
	}
	return &Trace{tracer: t.tracer, span: span}
}

// Recording tells whether somebody will see the span.
func (t *Trace) Recording() bool { return t != nil && t.span.IsRecording() }

// Context returns ctx in the span, for what logs or begins spans by it.
func (t *Trace) Context(ctx context.Context) context.Context {
	if t == nil {
		return ctx
	}
	return trace.ContextWithSpan(ctx, t.span)
}

// Step adds what was done from one time to another, as a span below, with links to others.
func (t *Trace) Step(ctx context.Context, name string, began, ended time.Time, links ...*Trace) {
	if !t.Recording() {
		return
	}
	step := t.begin(ctx, name, trace.WithTimestamp(began))
	for _, other := range links {
		step.Link(other)
	}
	step.span.End(trace.WithTimestamp(ended))
}

// Begin begins a span below.
func (t *Trace) Begin(ctx context.Context, name string, about ...attribute.KeyValue) *Trace {
	if t == nil {
		return nil
	}
	return t.begin(ctx, name, trace.WithAttributes(about...))
}

func (t *Trace) begin(ctx context.Context, name string, options ...trace.SpanStartOption) *Trace {
	_, span := t.tracer.Start(t.Context(ctx), name, options...)
	return &Trace{tracer: t.tracer, span: span}
}

// Send begins the span of a message's sending, which the message's headers will name.
func (t *Trace) Send(ctx context.Context, topic string, m *kafka.Message) *Trace {
	if t == nil {
		return nil
	}
	sent := t.begin(ctx, "send "+topic, trace.WithSpanKind(trace.SpanKindProducer),
		trace.WithAttributes(semconv.MessagingSystemKafka, semconv.MessagingOperationTypeSend, semconv.MessagingDestinationName(topic)))
	traceContext.Inject(sent.Context(ctx), headers{m})
	return sent
}

// Sending is Send for a message that comes from no other: below the span of ctx, or nil if
// it has none.
func Sending(ctx context.Context, topic string, m *kafka.Message) *Trace {
	span := trace.SpanFromContext(ctx)
	if !span.SpanContext().IsValid() {
		return nil
	}
	return (&Trace{tracer: span.TracerProvider().Tracer("genrec"), span: span}).Send(ctx, topic, m)
}

// Link says that the span also has to do with another. A span keeps at most 128 of them
// (OTEL_SPAN_LINK_COUNT_LIMIT).
func (t *Trace) Link(other *Trace) {
	if t.Recording() && other != nil {
		t.span.AddLink(trace.Link{SpanContext: other.span.SpanContext()})
	}
}

// Fail marks the span: what was processed went to the dead letters.
func (t *Trace) Fail(reason string) {
	if t != nil {
		t.span.SetStatus(codes.Error, reason)
	}
}

// End ends the span.
func (t *Trace) End() {
	if t != nil {
		t.span.End()
	}
}

// TraceOf returns ctx in the span that a message was sent in, if its headers name one.
func TraceOf(ctx context.Context, m kafka.Message) context.Context {
	return traceContext.Extract(ctx, headers{&m})
}

var traceContext propagation.TraceContext

// headers are a message's, as OpenTelemetry's propagators read and write them.
type headers struct{ message *kafka.Message }

// Get returns the newest value of a key, which is that of whoever sent the message last.
func (h headers) Get(key string) string {
	for _, header := range slices.Backward(h.message.Headers) {
		if header.Key == key {
			return string(header.Value)
		}
	}
	return ""
}

// Set replaces all values of a key.
func (h headers) Set(key, value string) {
	headers := slices.DeleteFunc(slices.Clone(h.message.Headers), func(other kafka.Header) bool { return other.Key == key })
	headers = append(headers, kafka.Header{Key: key, Value: []byte(value)})
	h.message.Headers = headers
}

// Keys returns all keys.
func (h headers) Keys() []string {
	keys := make([]string, len(h.message.Headers))
	for i, header := range h.message.Headers {
		keys[i] = header.Key
	}
	return keys
}
