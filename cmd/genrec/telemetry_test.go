package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"sync"
	"testing"

	"genrec/pkg/embedded/embeddedtest"
)

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// checkTelemetry looks at what "all" tells after 5 events of two users, another message
// and a training. The lag is that of the whole group.
func checkTelemetry(t *testing.T, url string) {
	t.Helper()
	for _, line := range []string{
		`genrec_ingest_messages_total 6`,
		`genrec_ingest_events_appended_total 5`,
		`genrec_ingest_dead_letters_total{reason="not_json"} 1`,
		`genrec_kafka_lag_messages{group="genrec-ingest",partition="0",topic="interactions"} 0`,
		`genrec_kafka_lag_messages{group="genrec-inference",partition="3",topic="refreshes"} 0`,
		`genrec_inference_users_written_total [1-9].*`,
		`genrec_inference_model_share_percent{version="v\d+"} 100`,
		`genrec_inference_beams_total [1-9].*`,
		`genrec_freshness_seconds_count [1-9].*`,
		`genrec_inference_waiting_users 0`,
		`genrec_retrain_runs_total{outcome="promoted"} [1-9].*`,
		`process_resident_memory_bytes [1-9].*`,
	} {
		awaitMetric(t, url, line)
	}
	get(t, url+"/healthz", http.StatusOK)
	get(t, url+"/readyz", http.StatusOK)
}

// awaitMetric waits for a line that matches.
func awaitMetric(t *testing.T, url, line string) {
	t.Helper()
	want := regexp.MustCompile("(?m)^" + line + "$")
	embeddedtest.Eventually(t, func() string {
		if got := get(t, url+"/metrics", http.StatusOK); !want.MatchString(got) {
			return fmt.Sprintf("%s/metrics has no line %q, but\n%s", url, line, got)
		}
		return ""
	})
}

// collected are the bytes of all spans that were sent.
type collected struct {
	mu    sync.Mutex
	bytes []byte
}

// collectTraces is a collector for what this process runs until the test ends.
func collectTraces(t *testing.T) *collected {
	t.Helper()
	c := &collected{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("spans that were sent: %v", err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.bytes = append(c.bytes, body...)
	}))
	t.Cleanup(server.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "50") // ms
	return c
}

func (c *collected) have(span string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Contains(c.bytes, []byte(span))
}

func get(t *testing.T, url string, status int) string {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != status {
		t.Fatalf("%s answers %d, %s (%v), want %d", url, answer.StatusCode, body, err, status)
	}
	return string(body)
}
