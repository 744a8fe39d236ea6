// Package telemetry sets up the observability of a service: trace export configured by OTEL_*
// variables, log records with trace IDs, and an HTTP server for metrics, health checks and profiles.
// Packages define their own spans and metrics.
package telemetry

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// Tracing returns a tracer provider configured by OpenTelemetry's environment variables. It returns
// nil if tracing is disabled, which is the default unless OTEL_TRACES_EXPORTER or an OTLP endpoint is
// set. The caller must shut the provider down, which flushes it. If the collector falls behind by
// 2,048 spans (OTEL_BSP_MAX_QUEUE_SIZE), further spans are dropped.
func Tracing(ctx context.Context, service string) (*sdk.TracerProvider, error) {
	enabled, err := tracingEnabled()
	if err != nil || !enabled {
		return nil, err
	}
	exporter, err := newExporter(ctx)
	if err != nil {
		return nil, fmt.Errorf("configure tracing from OTEL_*: %w", err)
	}
	attributes, err := resource.New(ctx, // later options override earlier ones
		resource.WithAttributes(semconv.ServiceName(service)), resource.WithHost(), resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("configure tracing from OTEL_*: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { slog.Warn("export traces", "err", err) }))
	return sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(attributes)), nil
}

func tracingEnabled() (bool, error) {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return false, nil
	}
	switch name := os.Getenv("OTEL_TRACES_EXPORTER"); name {
	case "otlp":
		return true, nil
	case "none":
		return false, nil
	case "":
		return cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT")) != "", nil
	default:
		return false, fmt.Errorf("OTEL_TRACES_EXPORTER: %q must be otlp or none", name)
	}
}

// newExporter does not connect: the exporter does, when it has spans to send.
func newExporter(ctx context.Context) (sdk.SpanExporter, error) {
	protocol := cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL"), "http/protobuf")
	switch protocol {
	case "http/protobuf":
		return otlptracehttp.New(ctx)
	case "grpc":
		return otlptracegrpc.New(ctx)
	default:
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL: %q must be grpc or http/protobuf", protocol)
	}
}
