package serve

import (
	"errors"
	"io"
	"mime"
	"net/http"
)

// readBody takes JSON alone, so that no page of another site can send something in the
// name of a visitor.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		Refuse(w, http.StatusUnsupportedMediaType, "the header Content-Type must say application/json")
		return nil, false
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		Refuse(w, http.StatusRequestEntityTooLarge, "the body is larger than %d bytes", maxBody)
		return nil, false
	}
	if err != nil {
		Refuse(w, http.StatusBadRequest, "the body ends too early")
		return nil, false
	}
	return body, true
}
