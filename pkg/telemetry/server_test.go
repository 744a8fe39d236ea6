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

func TestServer(t *testing.T) {
	registry := NewRegistry()
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "genrec_test", Help: "Test."}, func() float64 { return 7 }))
	failing := prometheus.NewDesc("genrec_failing", "Test.", nil, nil)
	registry.MustRegister(prometheus.CollectorFunc(func(ch chan<- prometheus.Metric) {
		ch <- prometheus.NewInvalidMetric(failing, errors.New("Kafka is down"))
	}))
	notReady := errors.New("no model yet")
	s, err := Listen(t.Context(), "127.0.0.1:0", registry, func(context.Context) error { return notReady })
	if err != nil {
		t.Fatal(err)
	}
	wantResponse(t, s, "/metrics", http.StatusOK, "genrec_test 7") // although another collector fails
	wantResponse(t, s, "/metrics", http.StatusOK, "process_resident_memory_bytes")
	wantResponse(t, s, "/healthz", http.StatusOK, "ok")
	wantResponse(t, s, "/readyz", http.StatusServiceUnavailable, "no model yet")
	notReady = nil
	wantResponse(t, s, "/readyz", http.StatusOK, "ready")
	wantResponse(t, s, "/debug/pprof/", http.StatusOK, "goroutine")
	wantResponse(t, s, "/debug/pprof/heap?debug=1", http.StatusOK, "heap profile")
	wantResponse(t, s, "/debug/pprof/profile?seconds=1", http.StatusOK, "")
	wantResponse(t, s, "/other", http.StatusNotFound, "")

	if _, err := Listen(t.Context(), s.Address(), registry, nil); err == nil || !strings.Contains(err.Error(), s.Address()) {
		t.Errorf("a second server at %s: error %v, want one that names the address", s.Address(), err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if response, err := http.Get("http://" + s.Address() + "/healthz"); err == nil {
		response.Body.Close()
		t.Error("the server responds after Close")
	}
}

func wantResponse(t *testing.T, s *Server, path string, status int, text string) {
	t.Helper()
	response, err := http.Get("http://" + s.Address() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != status || !strings.Contains(string(body), text) {
		t.Errorf("%s responds with %d, %.200q (%v), want %d with %q", path, response.StatusCode, body, err, status, text)
	}
}
