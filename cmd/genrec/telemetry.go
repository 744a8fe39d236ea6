package main

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v3"
	"go.opentelemetry.io/otel/trace"

	"genrec/pkg/telemetry"
)

// observation is what a service tells about itself.
type observation struct {
	tracing trace.TracerProvider // nil: no spans
	flush   func(context.Context) error
}

// observe begins as the flags and OpenTelemetry's variables ask for.
func observe(ctx context.Context, cmd *cli.Command) (*observation, error) {
	o := &observation{}
	provider, err := telemetry.Tracing(ctx, "genrec "+cmd.Name)
	if err != nil {
		return o, err
	}
	if provider != nil {
		o.tracing, o.flush = provider, provider.Shutdown
	}
	return o, nil
}

// lastSpans bounds how long a collector may keep a service from ending.
const lastSpans = 5 * time.Second

// close sends the spans that are left. It is for the end, when ctx may be over.
func (o *observation) close(ctx context.Context) error {
	if o.flush == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSpans)
	defer cancel()
	if err := o.flush(ctx); err != nil {
		return fmt.Errorf("send the last spans: %w", err)
	}
	return nil
}
