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

// Tracer creates OpenTelemetry spans for the messages that a service processes.
type Tracer struct {
	tracer trace.Tracer
	roots  bool // start a trace for messages without one
}

// NewTracer returns a Tracer. With a nil provider it records no spans, but still propagates the
// trace context of messages.
func NewTracer(provider trace.TracerProvider) Tracer {
	if provider == nil {
		provider = noop.NewTracerProvider()
	}
	_, off := provider.(noop.TracerProvider)
	return Tracer{tracer: provider.Tracer("genrec"), roots: !off}
}

// Span is a span in the trace of a message. The methods of a nil Span, of a message without a
// trace, do nothing. Spans contain no user ids, because erasing a user could not remove them.
type Span struct {
	tracer trace.Tracer
	span   trace.Span
}

// StartProcess starts the span of processing a message, in the trace of its W3C traceparent header
// or else in a new trace.
func (t Tracer) StartProcess(ctx context.Context, m kafka.Message) *Span {
	if !t.roots {
		return t.ContinueProcess(ctx, m)
	}
	return t.startProcess(ExtractTrace(ctx, m), m)
}

// ContinueProcess is StartProcess without new traces: it returns nil for a message without a
// traceparent header.
func (t Tracer) ContinueProcess(ctx context.Context, m kafka.Message) *Span {
	if len(m.Headers) == 0 {
		return nil
	}
	ctx = ExtractTrace(ctx, m)
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return nil
	}
	return t.startProcess(ctx, m)
}

func (t Tracer) startProcess(ctx context.Context, m kafka.Message) *Span {
	_, span := t.tracer.Start(ctx, "process "+m.Topic, trace.WithSpanKind(trace.SpanKindConsumer))
	if span.IsRecording() {
		span.SetAttributes(semconv.MessagingSystemKafka, semconv.MessagingOperationTypeProcess,
			semconv.MessagingDestinationName(m.Topic), semconv.MessagingKafkaOffset(int(m.Offset)))
	}
	return &Span{tracer: t.tracer, span: span}
}

// Recording reports whether the span is recorded.
func (s *Span) Recording() bool { return s != nil && s.span.IsRecording() }

// Context returns ctx with the span as the current one, for logs and child spans.
func (s *Span) Context(ctx context.Context) context.Context {
	if s == nil {
		return ctx
	}
	return trace.ContextWithSpan(ctx, s.span)
}

// AddStep records a step that has already ended as a child span, with links to other spans.
func (s *Span) AddStep(ctx context.Context, name string, began, ended time.Time, links ...*Span) {
	if !s.Recording() {
		return
	}
	step := s.startChild(ctx, name, trace.WithTimestamp(began))
	for _, other := range links {
		step.Link(other)
	}
	step.span.End(trace.WithTimestamp(ended))
}

// StartChild starts a child span.
func (s *Span) StartChild(ctx context.Context, name string, attributes ...attribute.KeyValue) *Span {
	if s == nil {
		return nil
	}
	return s.startChild(ctx, name, trace.WithAttributes(attributes...))
}

func (s *Span) startChild(ctx context.Context, name string, options ...trace.SpanStartOption) *Span {
	_, span := s.tracer.Start(s.Context(ctx), name, options...)
	return &Span{tracer: s.tracer, span: span}
}

// StartSend starts the span of sending a message, and sets the message's traceparent header to it.
func (s *Span) StartSend(ctx context.Context, topic string, m *kafka.Message) *Span {
	if s == nil {
		return nil
	}
	sent := s.startChild(ctx, "send "+topic, trace.WithSpanKind(trace.SpanKindProducer),
		trace.WithAttributes(semconv.MessagingSystemKafka, semconv.MessagingOperationTypeSend, semconv.MessagingDestinationName(topic)))
	traceContext.Inject(sent.Context(ctx), headers{m})
	return sent
}

// StartSend starts the span of sending a message as a child of the current span of ctx. It returns
// nil if there is none.
func StartSend(ctx context.Context, topic string, m *kafka.Message) *Span {
	span := trace.SpanFromContext(ctx)
	if !span.SpanContext().IsValid() {
		return nil
	}
	return (&Span{tracer: span.TracerProvider().Tracer("genrec"), span: span}).StartSend(ctx, topic, m)
}

// Link adds a link to another span. A span keeps at most 128 links
// (OTEL_SPAN_LINK_COUNT_LIMIT).
func (s *Span) Link(other *Span) {
	if s.Recording() && other != nil {
		s.span.AddLink(trace.Link{SpanContext: other.span.SpanContext()})
	}
}

// Fail sets the status of the span to an error: the message was dead-lettered.
func (s *Span) Fail(reason string) {
	if s != nil {
		s.span.SetStatus(codes.Error, reason)
	}
}

// End ends the span.
func (s *Span) End() {
	if s != nil {
		s.span.End()
	}
}

// ExtractTrace returns ctx with the remote span of a message's traceparent header, if it has one.
func ExtractTrace(ctx context.Context, m kafka.Message) context.Context {
	return traceContext.Extract(ctx, headers{&m})
}

var traceContext propagation.TraceContext

// headers adapts the headers of a message to propagation.TextMapCarrier.
type headers struct{ message *kafka.Message }

// Get returns the last value of a key, which is that of the most recent sender.
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
