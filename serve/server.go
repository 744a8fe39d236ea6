// Package serve is the HTTP API: it returns recommendations and accepts interaction events.
// openapi.json describes it.
//
// A request passes the middleware in this order: metrics, tracing, a limit of concurrent requests
// per route, authentication with a rate limit. Handlers parse it, call the Reader (recs.Client)
// or the Publisher (a Producer for Kafka), and respond with JSON or with a problem of RFC 9457.
package serve

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"golang.org/x/net/netutil"
	"golang.org/x/time/rate"

	"genrec/pkg/recs"
)

// Limits of time and memory.
const (
	readTimeout     = 2 * time.Second // to read recommendations
	publishTimeout  = 5 * time.Second // to write events
	headerTimeout   = 5 * time.Second
	bodyTimeout     = 10 * time.Second
	responseTimeout = 15 * time.Second
	idleTimeout     = 2 * time.Minute
	shutdownTimeout = 10 * time.Second
	maxHeader       = 64 << 10  // bytes
	maxBody         = 128 << 10 // bytes
	maxConnections  = 10_000
	maxReads        = 2048 // concurrent requests per route without a body
	maxBodies       = 256  // concurrent requests per route with a body
)

// Reader reads recommendations. *recs.Client implements it.
type Reader interface {
	// Read answers a query for each user, in the same order.
	Read(ctx context.Context, users []string, q recs.Query) ([]recs.Answer, error)
	// Ping returns an error unless recommendations can be read.
	Ping(ctx context.Context) error
}

// Event is a valid event.
type Event struct {
	User string          // ID of the user
	JSON json.RawMessage // the event as received
}

// Publisher writes events to the stream. *Producer implements it.
type Publisher interface {
	// Publish returns when all events are stored durably. With a *stream.RejectedError, those
	// that no retry can deliver are not.
	Publish(ctx context.Context, events []Event) error
}

// Config configures a Server.
type Config struct {
	Address    string                              // HOST:PORT to listen at
	TLS        *tls.Config                         // nil: plain HTTP
	Tokens     []string                            // accepted bearer tokens; empty: no authentication
	Rate       float64                             // requests per second and token, or else per client address; 0: unlimited
	Tracing    trace.TracerProvider                // nil: no tracing
	Logger     *slog.Logger                        // default slog.Default()
	Middleware func(api http.Handler) http.Handler // wraps the API, such as to serve a page beside it; nil: none
}

// MinToken is the minimum length of a token: shorter ones could be guessed.
const MinToken = 16

func (c *Config) prepare() error {
	c.Logger = cmp.Or(c.Logger, slog.Default())
	if c.Tracing == nil {
		c.Tracing = noop.NewTracerProvider()
	}
	if c.Rate < 0 || math.IsNaN(c.Rate) || math.IsInf(c.Rate, 0) {
		return fmt.Errorf("serve: invalid rate limit %v: must be positive, or 0 for none", c.Rate)
	}
	for i, token := range c.Tokens {
		if len(token) < MinToken {
			return fmt.Errorf("serve: token %d of %d has %d characters, at least %d are required: generate one with openssl rand -hex 16",
				i+1, len(c.Tokens), len(token), MinToken)
		}
	}
	if c.Address == "" {
		return errors.New("serve: no address to listen at")
	}
	return nil
}

// Server is the HTTP server.
type Server struct {
	cfg       Config
	reader    Reader
	publisher Publisher // nil: events are not accepted
	tokens    tokens
	limiters  *limiters // nil: no rate limit
	stopping  atomic.Bool
	failures  rate.Sometimes // limits the logging of failures
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
	if cfg.Middleware != nil {
		s.handler = cfg.Middleware(s.handler)
	}
	return s, nil
}

// Run listens until ctx ends, then lets the requests in flight finish.
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
		ReadHeaderTimeout: headerTimeout, ReadTimeout: bodyTimeout, WriteTimeout: responseTimeout, IdleTimeout: idleTimeout,
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
	graceCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(graceCtx); err != nil {
		return errors.Join(fmt.Errorf("some requests did not finish within %v: %w", shutdownTimeout, err), server.Close())
	}
	return nil
}
