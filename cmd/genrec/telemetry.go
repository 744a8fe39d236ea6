package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/urfave/cli/v3"
	"go.opentelemetry.io/otel/trace"

	"genrec/inference"
	"genrec/ingest"
	"genrec/pkg/recs"
	"genrec/pkg/stream"
	"genrec/pkg/telemetry"
	"genrec/serve"
)

func metricsFlag() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "metrics", Usage: "`HOST:PORT` to answer at with /metrics, /healthz, /readyz and /debug/pprof/, for no eyes outside; without it, nowhere. Of retrain, with --schedule", Validator: optional(anAddress)},
	}
}

// observation is what a service tells about itself.
type observation struct {
	tracing trace.TracerProvider // nil: no spans
	flush   func(context.Context) error
	metrics *prometheus.Registry
	server  *telemetry.Server
	ready   atomic.Pointer[func(context.Context) error]
}

// observe begins as --metrics and OpenTelemetry's variables ask for. The service is not
// ready before readyWhen says so.
func observe(ctx context.Context, cmd *cli.Command) (o *observation, err error) {
	o = &observation{metrics: telemetry.NewRegistry()}
	o.readyWhen(func(context.Context) error { return errors.New("connecting to Kafka and Redis") })
	provider, err := telemetry.Tracing(ctx, "genrec "+cmd.Name)
	if err != nil {
		return o, err
	}
	if provider != nil {
		o.tracing, o.flush = provider, provider.Shutdown
	}
	if address := cmd.String("metrics"); address != "" {
		o.server, err = telemetry.Listen(ctx, address, o.metrics, func(ctx context.Context) error { return (*o.ready.Load())(ctx) })
		if err != nil {
			return o, errors.Join(fmt.Errorf("--metrics: %w", err), o.close(ctx))
		}
		slog.InfoContext(ctx, "answering with metrics and health", "address", o.server.Address())
	}
	return o, nil
}

func (o *observation) readyWhen(check func(context.Context) error) { o.ready.Store(&check) }

// ingests tells of an ingester.
func (o *observation) ingests(s *servers, i *ingest.Ingester) {
	access := ingest.Config{}.Permissions()
	o.metrics.MustRegister(append(i.Metrics(), stream.NewLagCollector(s.kafka, access.Group, access.Reads))...)
	o.readyWhen(s.answer)
}

// infers tells of a worker, which is ready when it has a model.
func (o *observation) infers(s *servers, w *inference.Worker) {
	access := inference.Config{}.Permissions()
	o.metrics.MustRegister(append(w.Metrics(), stream.NewLagCollector(s.kafka, access.Group, access.Reads))...)
	o.readyWhen(func(ctx context.Context) error {
		if w.Stats().Swaps == 0 {
			return errors.New("no model is loaded yet")
		}
		return s.answer(ctx)
	})
}

// serves tells of a server of recommendations.
func (o *observation) serves(server *serve.Server, client *recs.Client) {
	o.metrics.MustRegister(server.Metrics()...)
	o.readyWhen(client.Ping)
}

// lastSpans bounds how long a collector may keep a service from ending.
const lastSpans = 5 * time.Second

// close sends the spans that are left. It is for the end, when ctx may be over.
func (o *observation) close(ctx context.Context) (err error) {
	if o.server != nil {
		err = o.server.Close()
	}
	if o.flush == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSpans)
	defer cancel()
	if flushed := o.flush(ctx); flushed != nil {
		slog.WarnContext(ctx, "the last spans are lost", "err", flushed) // no reason to fail
	}
	return err
}
