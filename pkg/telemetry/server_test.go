package telemetry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestServerAnswers(t *testing.T) {
	registry := NewRegistry()
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "genrec_test", Help: "Test."}, func() float64 { return 7 }))
	failing := prometheus.NewDesc("genrec_failing", "Test.", nil, nil)
	registry.MustRegister(prometheus.CollectorFunc(func(ch chan<- prometheus.Metric) {
		ch <- prometheus.NewInvalidMetric(failing, errors.New("Kafka is away"))
	}))
	notReady := errors.New("no model yet")
	s, err := Listen(t.Context(), "127.0.0.1:0", registry, func(context.Context) error { return notReady })
	if err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, s, "/metrics", http.StatusOK, "genrec_test 7") // though another one fails
	wantAnswer(t, s, "/metrics", http.StatusOK, "process_resident_memory_bytes")
	wantAnswer(t, s, "/healthz", http.StatusOK, "ok")
	wantAnswer(t, s, "/readyz", http.StatusServiceUnavailable, "no model yet")
	notReady = nil
	wantAnswer(t, s, "/readyz", http.StatusOK, "ready")
	wantAnswer(t, s, "/debug/pprof/", http.StatusOK, "goroutine")
	wantAnswer(t, s, "/debug/pprof/heap?debug=1", http.StatusOK, "heap profile")
	wantAnswer(t, s, "/debug/pprof/profile?seconds=1", http.StatusOK, "")
	wantAnswer(t, s, "/other", http.StatusNotFound, "")

	if _, err := Listen(t.Context(), s.Address(), registry, nil); err == nil || !strings.Contains(err.Error(), s.Address()) {
		t.Errorf("a second server at %s: error %v, want one that names the address", s.Address(), err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if answer, err := http.Get("http://" + s.Address() + "/healthz"); err == nil {
		answer.Body.Close()
		t.Error("it answers after Close")
	}
}

func wantAnswer(t *testing.T, s *Server, path string, status int, text string) {
	t.Helper()
	answer, err := http.Get("http://" + s.Address() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != status || !strings.Contains(string(body), text) {
		t.Errorf("%s answers %d, %.200q (%v), want %d with %q", path, answer.StatusCode, body, err, status, text)
	}
}
