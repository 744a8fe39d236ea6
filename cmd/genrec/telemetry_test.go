package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// checkTelemetry checks the metrics of "all" after 5 events of two users, an invalid message and
// a training. The lag is that of the whole consumer group.
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

// collected has the bytes of all spans that were sent.
type collected struct {
	mu    sync.Mutex
	bytes []byte
}

// collectTraces starts a collector for the traces of this process, until the test ends.
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
