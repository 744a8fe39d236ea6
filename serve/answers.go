package serve

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// Answer sends a value as JSON.
func Answer(w http.ResponseWriter, status int, value any) {
	send(w, status, "application/json", value)
}

// problem is what RFC 9457 calls one.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

// Refuse says in words what is wrong, as RFC 9457 has it.
func Refuse(w http.ResponseWriter, status int, format string, args ...any) {
	send(w, status, "application/problem+json", problem{http.StatusText(status), status, fmt.Sprintf(format, args...)})
}

func send(w http.ResponseWriter, status int, kind string, value any) {
	body, err := json.Marshal(value)
	if err != nil { // scores come from JSON, so they are finite
		http.Error(w, "the answer cannot be written as JSON", http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", kind)
	header.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // who asked may have left
}

// unavailable keeps to itself what the servers say, and logs it, at most once a second.
func (s *Server) unavailable(ctx context.Context, w http.ResponseWriter, what string, err error) {
	s.failures.Do(func() { s.cfg.Logger.ErrorContext(ctx, "answered 503", "why", what, "err", err) })
	w.Header().Set("Retry-After", "1")
	Refuse(w, http.StatusServiceUnavailable, "%s: try again", what)
}
