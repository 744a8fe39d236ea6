package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// NewRegistry returns a registry with the metrics of the process and the Go runtime.
func NewRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewGoCollector(), collectors.NewBuildInfoCollector())
	return r
}

// Limits of requests.
const (
	maxScrapes    = 4
	scrapeTimeout = 10 * time.Second
	headerTimeout = 5 * time.Second
	readyTimeout  = 5 * time.Second
	maxHeader     = 16 << 10 // bytes
)

// Server serves /metrics, /healthz, /readyz and /debug/pprof/.
type Server struct {
	http    *http.Server
	address string
	ended   chan struct{}
}

// Listen serves at address, HOST:PORT, until Close. /healthz always succeeds; /readyz succeeds if
// ready returns nil.
func Listen(ctx context.Context, address string, metrics *prometheus.Registry, ready func(context.Context) error) (*Server, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("serve metrics at %q: %w", address, err)
	}
	s := &Server{
		http: &http.Server{
			Handler: handler(metrics, ready), ReadHeaderTimeout: headerTimeout, MaxHeaderBytes: maxHeader,
			ErrorLog: slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug),
		},
		address: listener.Addr().String(), ended: make(chan struct{}),
	}
	go func() {
		defer close(s.ended)
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			slog.ErrorContext(ctx, "the metrics server stopped", "address", s.address, "err", err)
		}
	}()
	return s, nil
}

// Address returns the address, HOST:PORT.
func (s *Server) Address() string { return s.address }

// Close stops the server at once, including a running profile.
func (s *Server) Close() error {
	err := s.http.Close()
	<-s.ended
	return err
}

func handler(metrics *prometheus.Registry, ready func(context.Context) error) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, // a failing collector does not hide the others
		ErrorLog:      slog.NewLogLogger(slog.Default().Handler(), slog.LevelWarn),
		Registry:      metrics, MaxRequestsInFlight: maxScrapes, Timeout: scrapeTimeout,
	}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
		defer cancel()
		if err := ready(ctx); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}
