package serve

import (
	"context"
	_ "embed"
	"net/http"
)

// OpenAPI describes all routes, in version 3.1.
//
//go:embed openapi.json
var OpenAPI []byte

type route struct {
	method, path string
	atOnce       int // most requests
	handle       http.HandlerFunc
}

// routes need a token, where there are any, and count towards the limits.
func (s *Server) routes() []route {
	return []route{
		{http.MethodGet, "/v1/users/{id}/recommendations", maxReads, s.recommendUser},
		{http.MethodPost, "/v1/recommendations", maxBodies, s.recommendUsers},
		{http.MethodPost, "/v1/events", maxBodies, s.acceptEvents},
	}
}

// openRoutes are for everybody.
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
			Refuse(w, http.StatusMethodNotAllowed, "ask for this path with %s", r.method)
		})))
	}
	for _, r := range s.openRoutes() {
		add(r, bound(r.atOnce, r.handle))
	}
	for _, r := range s.routes() {
		add(r, s.follow(r, bound(r.atOnce, s.authenticate(r.handle))))
	}
	mux.Handle("/", s.measure(otherRoute, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		Refuse(w, http.StatusNotFound, "there is nothing at this path: /openapi.json tells what there is")
	})))
	return mux
}

func describe(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(OpenAPI)
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	Answer(w, http.StatusOK, map[string]string{"status": "ok"})
}

// ready does not speak of Kafka: without it, recommendations can be read all the same.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	if s.stopping.Load() {
		Refuse(w, http.StatusServiceUnavailable, "stopping")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTime)
	defer cancel()
	if err := s.reader.Ping(ctx); err != nil {
		s.unavailable(ctx, w, "Redis does not answer", err)
		return
	}
	Answer(w, http.StatusOK, map[string]string{"status": "ready"})
}
