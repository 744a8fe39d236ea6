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
		&cli.StringFlag{Name: "metrics", Usage: "`HOST:PORT` of an internal HTTP server with /metrics, /healthz, /readyz and /debug/pprof/; default: none. For retrain, only with --schedule", Validator: optional(hostPort)},
	}
}

// observation is the telemetry of a service.
type observation struct {
	tracing trace.TracerProvider // nil: no spans
	flush   func(context.Context) error
	metrics *prometheus.Registry
	server  *telemetry.Server
	ready   atomic.Pointer[func(context.Context) error]
}

// observe starts what --metrics and the OpenTelemetry variables ask for. The service is not
// ready until readyWhen sets a check that passes.
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
		slog.InfoContext(ctx, "serving metrics and health", "address", o.server.Address())
	}
	return o, nil
}

func (o *observation) readyWhen(check func(context.Context) error) { o.ready.Store(&check) }

// observeIngester adds the metrics and readiness of an ingester.
func (o *observation) observeIngester(s *servers, i *ingest.Ingester) {
	permissions := ingest.Config{}.Permissions()
	o.metrics.MustRegister(append(i.Metrics(), stream.NewLagCollector(s.kafka, permissions.Group, permissions.Reads))...)
	o.readyWhen(s.ready)
}

// observeWorker adds the metrics and readiness of an inference worker, which is ready once it
// has a model.
func (o *observation) observeWorker(s *servers, w *inference.Worker) {
	permissions := inference.Config{}.Permissions()
	o.metrics.MustRegister(append(w.Metrics(), stream.NewLagCollector(s.kafka, permissions.Group, permissions.Reads))...)
	o.readyWhen(func(ctx context.Context) error {
		if w.Stats().Swaps == 0 {
			return errors.New("no model is loaded yet")
		}
		return s.ready(ctx)
	})
}

// observeServer adds the metrics and readiness of the HTTP server.
func (o *observation) observeServer(server *serve.Server, client *recs.Client) {
	o.metrics.MustRegister(server.Metrics()...)
	o.readyWhen(client.Ping)
}

// flushTimeout bounds how long an unreachable collector delays the end of a service.
const flushTimeout = 5 * time.Second

// close sends the remaining spans, also when ctx is done.
func (o *observation) close(ctx context.Context) (err error) {
	if o.server != nil {
		err = o.server.Close()
	}
	if o.flush == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancel()
	if flushErr := o.flush(ctx); flushErr != nil {
		slog.WarnContext(ctx, "cannot send the last spans", "err", flushErr) // not a failure of the service
	}
	return err
}
