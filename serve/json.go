package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
)

// readBody reads a JSON body, or responds with a problem and returns false. Other content types
// are rejected, so that a page of another site cannot send requests on behalf of a visitor.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		WriteProblem(w, http.StatusUnsupportedMediaType, "the Content-Type header must be application/json")
		return nil, false
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		WriteProblem(w, http.StatusRequestEntityTooLarge, "the body is larger than %d bytes", maxBody)
		return nil, false
	}
	if err != nil {
		WriteProblem(w, http.StatusBadRequest, "the body is incomplete")
		return nil, false
	}
	return body, true
}

// WriteJSON responds with a value as JSON.
func WriteJSON(w http.ResponseWriter, status int, value any) {
	respond(w, status, "application/json", value)
}

// problem is an error response of RFC 9457.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

// WriteProblem responds with an error as a problem of RFC 9457, whose detail is formatted.
func WriteProblem(w http.ResponseWriter, status int, format string, args ...any) {
	respond(w, status, "application/problem+json", problem{http.StatusText(status), status, fmt.Sprintf(format, args...)})
}

func respond(w http.ResponseWriter, status int, contentType string, value any) {
	body, err := json.Marshal(value)
	if err != nil { // cannot happen: scores come from JSON, so they are finite
		http.Error(w, "the response cannot be encoded as JSON", http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", contentType)
	header.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may be gone
}

// unavailable responds with 503. The cause is logged, at most once per second, but not sent: it
// may contain addresses.
func (s *Server) unavailable(ctx context.Context, w http.ResponseWriter, detail string, err error) {
	s.failures.Do(func() { s.cfg.Logger.ErrorContext(ctx, "responded with 503", "detail", detail, "err", err) })
	w.Header().Set("Retry-After", "1")
	WriteProblem(w, http.StatusServiceUnavailable, "%s: retry later", detail)
}
