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

// otherRoute is the route label of requests that match no route.
const otherRoute = "other"

type metrics struct {
	requests *prometheus.HistogramVec
	answers  *prometheus.CounterVec
}

func newMetrics() metrics {
	m := metrics{
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "genrec_http_request_seconds", Help: "Duration of HTTP requests by route and status.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5},
		}, []string{"route", "code"}),
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "genrec_http_answers_total", Help: "Users answered over HTTP by the source of their first item.",
		}, []string{"source"}),
	}
	for _, source := range []string{recs.SourceModel, recs.SourceContext, recs.SourcePopular, recs.SourceNone} {
		m.answers.WithLabelValues(source) // starts the series at 0, so that the first answer is an increase
	}
	return m
}

// Metrics returns the collectors of the server for Prometheus.
func (s *Server) Metrics() []prometheus.Collector {
	return []prometheus.Collector{s.metrics.requests, s.metrics.answers}
}

func (m metrics) countAnswers(answers []recs.Answer) {
	for _, a := range answers {
		m.answers.WithLabelValues(a.Source).Inc()
	}
}

// measure records the duration and the status of a route's requests.
func (s *Server) measure(route string, next http.Handler) http.Handler {
	s.metrics.requests.WithLabelValues(route, strconv.Itoa(http.StatusOK)) // starts the series at 0
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began, recorder := time.Now(), recordStatus(w)
		next.ServeHTTP(recorder, r)
		s.metrics.requests.WithLabelValues(route, strconv.Itoa(recorder.status)).Observe(time.Since(began).Seconds())
	})
}

// trace creates a span for each request of a route, in the trace of the traceparent header if
// there is one. Unlike otelhttp's, the span lacks the path: it contains the user's ID, which an
// erasure could not delete from traces.
func (s *Server) trace(r route, next http.Handler) http.Handler {
	name, attributes := r.method+" "+r.path, trace.WithAttributes(semconv.HTTPRequestMethodKey.String(r.method), semconv.HTTPRoute(r.path))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		ctx, span := s.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer), attributes)
		defer span.End()
		recorder := recordStatus(w)
		next.ServeHTTP(recorder, r.WithContext(ctx))
		span.SetAttributes(semconv.HTTPResponseStatusCode(recorder.status))
		if recorder.status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, http.StatusText(recorder.status))
		}
	})
}

// limitConcurrency rejects requests beyond a number in flight, so that requests waiting for Redis
// or Kafka cannot exhaust memory.
func limitConcurrency(limit int, next http.Handler) http.Handler {
	inFlight := make(chan struct{}, limit)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case inFlight <- struct{}{}:
			defer func() { <-inFlight }()
			next.ServeHTTP(w, r)
		default:
			w.Header().Set("Retry-After", "1")
			WriteProblem(w, http.StatusServiceUnavailable, "%d requests of this kind are in progress: retry later", limit)
		}
	})
}

// statusRecorder remembers the status of a response.
type statusRecorder struct {
	http.ResponseWriter
	status int
}

// recordStatus returns w itself if it is a statusRecorder already.
func recordStatus(w http.ResponseWriter) *statusRecorder {
	if recorder, wrapped := w.(*statusRecorder); wrapped {
		return recorder
	}
	return &statusRecorder{ResponseWriter: w, status: http.StatusOK}
}

// WriteHeader implements http.ResponseWriter.
func (w *statusRecorder) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap gives http.ResponseController access to the wrapped writer.
func (w *statusRecorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
