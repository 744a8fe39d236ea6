package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
	"golang.org/x/net/netutil"
	"golang.org/x/time/rate"
)

// What bounds time and memory.
const (
	readTime       = 2 * time.Second // of recommendations
	publishTime    = 5 * time.Second // of events
	headerTimeout  = 5 * time.Second
	bodyTimeout    = 10 * time.Second
	answerTimeout  = 15 * time.Second
	idleTimeout    = 2 * time.Minute
	shutdownTime   = 10 * time.Second
	maxHeader      = 64 << 10
	maxBody        = 128 << 10
	maxConnections = 10_000
	maxReads       = 2048 // at a time, of a user each
	maxBodies      = 256  // requests with one, of a route
)

// Server answers requests.
type Server struct {
	cfg       Config
	reader    Reader
	publisher Publisher // nil: events are not accepted
	tokens    tokens
	limiters  *limiters // nil: no limit
	stopping  atomic.Bool
	failures  rate.Sometimes // that are logged
	metrics   metrics
	tracer    trace.Tracer
	handler   http.Handler
}

// New returns a server. Without a publisher it accepts no events.
func New(cfg Config, reader Reader, publisher Publisher) (*Server, error) {
	if err := cfg.prepare(); err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, reader: reader, publisher: publisher, tokens: newTokens(cfg.Tokens), limiters: newLimiters(cfg.Rate),
		failures: rate.Sometimes{Interval: time.Second}, metrics: newMetrics(), tracer: cfg.Tracing.Tracer("genrec"),
	}
	s.handler = s.newHandler()
	if cfg.Around != nil {
		s.handler = cfg.Around(s.handler)
	}
	return s, nil
}

// Run listens until ctx ends, and then lets the requests that it has finish.
func (s *Server) Run(ctx context.Context) error {
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", s.cfg.Address)
	if err != nil {
		return fmt.Errorf("listen at %s: %w", s.cfg.Address, err)
	}
	return s.Serve(ctx, listener)
}

// Serve is Run with a listener, which it closes.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	s.cfg.Logger.InfoContext(ctx, "serving over HTTP", "address", listener.Addr(), "tls", s.cfg.TLS != nil,
		"tokens", len(s.cfg.Tokens), "events", s.publisher != nil)
	server := &http.Server{
		Handler: s.handler, TLSConfig: s.cfg.TLS,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: bodyTimeout, WriteTimeout: answerTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelDebug),
	}
	listener = netutil.LimitListener(listener, maxConnections)
	ended := make(chan error, 1)
	go func() {
		if s.cfg.TLS != nil {
			ended <- server.ServeTLS(listener, "", "")
		} else {
			ended <- server.Serve(listener)
		}
	}()
	select {
	case err := <-ended:
		return fmt.Errorf("serve at %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	s.stopping.Store(true)
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		return errors.Join(fmt.Errorf("some requests did not end within %v: %w", shutdownTime, err), server.Close())
	}
	return nil
}
