package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/embedded"
	"genrec/pkg/stream"
	"genrec/retrain"
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
		t.Errorf("with the page's address taken, all ends in %v, want that in words", err)
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("a stop ends in %v, want no error", err)
	}
}

// What has made this process a rank would have to make the others anew each night, too.
func TestNoScheduleInARank(t *testing.T) {
	for _, set := range []string{"RANK=1", "WORLD_SIZE=2", "MASTER_ADDR=127.0.0.1", "MASTER_PORT=1"} {
		name, value, _ := strings.Cut(set, "=")
		t.Setenv(name, value)
	}
	err := newApp().Run(t.Context(), []string{"genrec", "retrain", "--schedule", "@daily", "--redis", "127.0.0.1:1"})
	if want := "--schedule is for one process, which starts others by --nproc"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want one with %q", err, want)
	}
}

func TestSecretsStayOutOfErrors(t *testing.T) {
	for _, address := range []string{"redis://user:hunter2@[::bad", "http://user:hunter2@host", "redis://user:hunter2@127.0.0.1:1"} {
		err := newApp().Run(t.Context(), []string{"genrec", "recommend", "--user", "ann", "--redis", address})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("error %v for an address with a password, want one that does not show it", err)
		}
	}
}

// A dataset's file in, a model and its figures out.
func TestTrainAndEvaluateADataset(t *testing.T) {
	models := t.TempDir()
	recipe := filepath.Join(t.TempDir(), "quick.json")
	if err := os.WriteFile(recipe, []byte(quickRecipe), 0o644); err != nil {
		t.Fatal(err)
	}
	report := runJSON[retrain.Report](t, "genrec", "retrain", "--data", "testdata/ring.txt", "--ids", "permuted",
		"--recipe", recipe, "--models", models, "--device", "cpu", "--json")
	if report.LeaveOneOut.Users != 60 || len(report.PretrainLoss) != 1 || len(report.FinetuneLoss) != 2 || report.PeakMemoryMB == 0 {
		t.Errorf("the report is %+v", report)
	}
	metrics := runJSON[retrain.Metrics](t, "genrec", "eval", "--data", "testdata/ring.txt", "--ids", "permuted",
		"--model", models, "--device", "cpu", "--json")
	if metrics != report.LeaveOneOut {
		t.Errorf("eval finds %+v, retrain found %+v", metrics, report.LeaveOneOut)
	}
	seen := runJSON[retrain.Metrics](t, "genrec", "eval", "--data", "testdata/ring.txt", "--ids", "permuted",
		"--model", filepath.Join(models, "versions", report.Version), "--device", "cpu", "--allow-seen", "--evaluate-users", "20", "--json")
	if seen.Users != 20 || seen.HR10 >= metrics.HR10 {
		t.Errorf("with seen items allowed, eval finds %+v: they should crowd out the others", seen)
	}
	for flags, want := range map[string]string{
		"--sequential-weight 0.5":  "the model has no sequential rules",
		"--association-weight 0.5": "the model has no association rules",
		"--dense-weight 1.2":       "--dense-weight: 1.2 is not between 0 and 1",
		"--dense-weight -1":        "--dense-weight: -1 is not between 0 and 1",
	} {
		line := []string{"genrec", "eval", "--data", "testdata/ring.txt", "--model", models, "--device", "cpu"}
		if err := newApp().Run(t.Context(), append(line, strings.Fields(flags)...)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("eval %s: error %v, want one with %q", flags, err, want)
		}
	}
}

const quickRecipe = `{
  "item_text": "padded",
  "model": {
    "d_model": 16, "max_position_embeddings": 64, "dropout": 0.1, "init_std": 0.02,
    "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 32,
    "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 32
  },
  "pretrain_epochs": 1, "finetune_epochs": 2, "batch_size": 16, "learning_rate": 0.005,
  "weight_decay": 0.01, "unknown_user": 0, "validation_users": 6, "patience": 5
}`

// runJSON runs a command and decodes what it prints.
func runJSON[T any](t *testing.T, line ...string) (printed T) {
	t.Helper()
	var out bytes.Buffer
	app := newApp()
	app.Writer = &out
	if err := app.Run(t.Context(), line); err != nil {
		t.Fatalf("%v: %v", line, err)
	}
	if err := json.Unmarshal(out.Bytes(), &printed); err != nil {
		t.Fatalf("%v printed no JSON: %v", line, err)
	}
	return printed
}
