package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/embedded"
	"genrec/pkg/stream"
	"genrec/retrain/snapshot"
)

func TestAllAnswersEvents(t *testing.T) {
	servers, err := embedded.Start(t.Context(), embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer servers.Close()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	past, metrics, page := t.TempDir(), freeAddress(t), freeAddress(t)
	traces := collectTraces(t)
	done := make(chan error, 1)
	go func() {
		done <- newApp().Run(ctx, []string{
			"genrec", "all", "--page", page, "--metrics", metrics, "--history", past, "--kafka", servers.KafkaBrokers()[0], "--redis", servers.RedisAddr(), "--models", t.TempDir(),
			"--schedule", "@every 1s", "--pretrain-epochs", "1", "--finetune-epochs", "1", "--device", "cpu",
		})
	}()
	cluster := kafkaOf(servers)
	if err := stream.EnsureTopics(t.Context(), cluster, stream.DefaultTopics(), 4); err != nil {
		t.Fatal(err)
	}
	w := stream.NewWriter(cluster, stream.DefaultTopics().Interactions)
	defer w.Close()
	for i := range 6 {
		value := fmt.Sprintf(`{"event_id": "%d", "user_id": "u%d", "item_id": "i%d", "timestamp": %d}`, i, i%2, i, 1_750_000_000_000+i)
		if i == 5 {
			value = "no event"
		}
		if err := w.WriteMessages(t.Context(), kafka.Message{Key: []byte("u"), Value: []byte(value)}); err != nil {
			t.Fatal(err)
		}
	}
	awaitKey(t, servers, "genrec:recs:{u0}")
	awaitKey(t, servers, "genrec:recs:{u1}")
	if _, err := snapshot.Newest(filepath.Join(past, "snapshots")); err != nil {
		t.Errorf("the model was not made of a snapshot of the history: %v", err)
	}
	checkTelemetry(t, "http://"+metrics)
	checkPage(t, "http://"+page)
	awaitMetric(t, "http://"+metrics, `genrec_http_answers_total\{source="model"\} 1`)
	awaitMetric(t, "http://"+metrics, `genrec_http_request_seconds_count\{code="200",route="/v1/users/\{id\}/recommendations"\} 1`)
	await(t, "a span of the page's reading", func() bool { return traces.have("GET /v1/users/{id}/recommendations") })
	if err := newApp().Run(t.Context(), []string{"genrec", "all", "--page", page}); err == nil || !strings.Contains(err.Error(), "is in use, perhaps by another genrec") {
		t.Errorf("with the page's address in use: error %v, want one that says so", err)
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("stopped with error %v, want none", err)
	}
}
