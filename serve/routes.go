package serve

import (
	"context"
	_ "embed"
	"net/http"
)

// OpenAPI is the OpenAPI 3.1 document of all routes.
//
//go:embed openapi.json
var OpenAPI []byte

type route struct {
	method, path string
	concurrency  int // maximum number of requests in flight
	handle       http.HandlerFunc
}

// routes are the routes that need a token, if the server has any, and that the rate limit
// applies to.
func (s *Server) routes() []route {
	return []route{
		{http.MethodGet, "/v1/users/{id}/recommendations", maxReads, s.recommendUser},
		{http.MethodPost, "/v1/recommendations", maxBodies, s.recommendUsers},
		{http.MethodPost, "/v1/events", maxBodies, s.acceptEvents},
	}
}

// openRoutes are the routes without authentication.
func (s *Server) openRoutes() []route {
	return []route{
		{http.MethodGet, "/healthz", maxReads, s.health},
		{http.MethodGet, "/readyz", maxReads, s.ready},
		{http.MethodGet, "/openapi.json", maxReads, describe},
	}
}

func (s *Server) newHandler() http.Handler {
	mux := http.NewServeMux()
	add := func(r route, handler http.Handler) {
		mux.Handle(r.method+" "+r.path, s.measure(r.path, handler))
		mux.Handle(r.path, s.measure(r.path, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Allow", r.method)
			WriteProblem(w, http.StatusMethodNotAllowed, "this path supports only %s", r.method)
		})))
	}
	for _, r := range s.openRoutes() {
		add(r, limitConcurrency(r.concurrency, r.handle))
	}
	for _, r := range s.routes() {
		add(r, s.trace(r, limitConcurrency(r.concurrency, s.authenticate(r.handle))))
	}
	mux.Handle("/", s.measure(otherRoute, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		WriteProblem(w, http.StatusNotFound, "unknown path: see /openapi.json")
	})))
	return mux
}

func describe(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(OpenAPI)
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	WriteJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// ready ignores Kafka: recommendations can be read without it.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	if s.stopping.Load() {
		WriteProblem(w, http.StatusServiceUnavailable, "shutting down")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	if err := s.reader.Ping(ctx); err != nil {
		s.unavailable(ctx, w, "Redis does not respond", err)
		return
	}
	WriteJSON(w, http.StatusOK, map[string]string{"status": "ready"})
}
