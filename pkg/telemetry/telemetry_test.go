package telemetry

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

func TestTracingVariables(t *testing.T) {
	for _, c := range []struct {
		set     map[string]string
		on      bool
		problem string
	}{
		{set: nil},
		{set: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, on: true},
		{set: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1"}, on: true},
		{set: map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, on: true},
		{set: map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, on: true},
		{set: map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}},
		{set: map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"}},
		{set: map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, problem: `OTEL_TRACES_EXPORTER: "zipkin"`},
		{set: map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, problem: `"http/json"`},
	} {
		t.Run("", func(t *testing.T) {
			clearVariables(t)
			for name, value := range c.set {
				t.Setenv(name, value)
			}
			provider, err := Tracing(t.Context(), "test")
			switch {
			case c.problem == "" && err != nil, c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)):
				t.Fatalf("with %v: error %v, want one with %q", c.set, err, c.problem)
			case (provider != nil) != c.on:
				t.Fatalf("with %v: tracing is enabled: %v, want %v", c.set, provider != nil, c.on)
			}
			if provider != nil {
				_ = provider.Shutdown(t.Context())
			}
		})
	}
}

func clearVariables(t *testing.T) {
	for _, name := range []string{
		"OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
		"OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES",
	} {
		t.Setenv(name, "")
	}
}

// A collector receives the spans with the service name.
func TestSpansReachACollector(t *testing.T) {
	var got collector.ExportTraceServiceRequest
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
		}
		if err := proto.Unmarshal(body, &got); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	clearVariables(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	provider, err := Tracing(t.Context(), "genrec ingest")
	if err != nil {
		t.Fatal(err)
	}
	_, span := provider.Tracer("test").Start(t.Context(), "a step")
	span.End()
	if err := provider.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if text := got.String(); !strings.Contains(text, `"a step"`) || !strings.Contains(text, `"genrec ingest"`) {
		t.Errorf("the collector received %s, want the span and its service name", text)
	}
}

func TestLogsHaveTraceIDs(t *testing.T) {
	var out bytes.Buffer
	logger := slog.New(WithTraces(slog.NewTextHandler(&out, nil))).With("a", 1)
	logger.Info("outside")
	if strings.Contains(out.String(), "trace_id") {
		t.Errorf("logged %q outside of any span", out.String())
	}
	out.Reset()
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
	logger.WithGroup("g").WarnContext(trace.ContextWithSpanContext(t.Context(), span), "inside")
	if line := out.String(); !strings.Contains(line, "trace_id="+span.TraceID().String()) || !strings.Contains(line, "span_id="+span.SpanID().String()) {
		t.Errorf("logged %q, want the IDs of the span", line)
	}
}
