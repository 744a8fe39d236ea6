package serve

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"genrec/pkg/recs"
)

// otherRoute stands in metrics for all that there is nothing at.
const otherRoute = "other"

type metrics struct {
	requests *prometheus.HistogramVec
	answers  *prometheus.CounterVec
}

func newMetrics() metrics {
	m := metrics{
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "genrec_http_request_seconds", Help: "Time that requests over HTTP take, by route and status.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5},
		}, []string{"route", "code"}),
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "genrec_http_answers_total", Help: "Users who were answered, by the source of their first item.",
		}, []string{"source"}),
	}
	for _, source := range []string{recs.SourceModel, recs.SourceContext, recs.SourcePopular, recs.SourceNone} {
		m.answers.WithLabelValues(source) // so that the first one is seen as an increase
	}
	return m
}

// Metrics returns what Prometheus may collect of the server.
func (s *Server) Metrics() []prometheus.Collector {
	return []prometheus.Collector{s.metrics.requests, s.metrics.answers}
}

func (m metrics) answered(answers []recs.Answer) {
	for _, a := range answers {
		m.answers.WithLabelValues(a.Source).Inc()
	}
}

// measure tells how long requests of a route take, and what they end in.
func (s *Server) measure(route string, next http.Handler) http.Handler {
	s.metrics.requests.WithLabelValues(route, strconv.Itoa(http.StatusOK)) // likewise
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began, seen := time.Now(), watch(w)
		next.ServeHTTP(seen, r)
		s.metrics.requests.WithLabelValues(route, strconv.Itoa(seen.status)).Observe(time.Since(began).Seconds())
	})
}

// follow makes a span of each request of a route, in the trace that its headers name or in
// one of its own. The span has no path, which names the user: an erasure would not find it
// there. otelhttp's spans have it.
func (s *Server) follow(r route, next http.Handler) http.Handler {
	name, about := r.method+" "+r.path, trace.WithAttributes(semconv.HTTPRequestMethodKey.String(r.method), semconv.HTTPRoute(r.path))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		ctx, span := s.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer), about)
		defer span.End()
		seen := watch(w)
		next.ServeHTTP(seen, r.WithContext(ctx))
		span.SetAttributes(semconv.HTTPResponseStatusCode(seen.status))
		if seen.status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, http.StatusText(seen.status))
		}
	})
}

// statusWriter remembers the status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// watch wraps a writer once, for all who ask for the status.
func watch(w http.ResponseWriter) *statusWriter {
	if seen, wrapped := w.(*statusWriter); wrapped {
		return seen
	}
	return &statusWriter{ResponseWriter: w, status: http.StatusOK}
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach what is below.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
