package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
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
	if err := newApp().Run(t.Context(), []string{"genrec", "all", "--page", page}); err == nil || !strings.Contains(err.Error(), "is taken, perhaps by another genrec") {
		t.Errorf("with the page's address taken, all ends in %v, want that in words", err)
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("a stop ends in %v, want no error", err)
	}
}

func TestWrongUseIsExplained(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"genrec dance", `unknown command "dance"`},
		{"genrec ingst", `did you mean "ingest"?`},
		{"genrec models lst", `did you mean "list"?`},
		{"genrec ingest --kafak x", "--kafak: there is no such flag: did you mean --kafka?\ngenrec ingest --help"},
		{"genrec ingest --window lots", `--window: "lots"`},
		{"genrec ingest kafka:9092", `"kafka:9092" is one argument too many`},
		{"genrec ingest --config no-such-file", "--config: open no-such-file"},
		{"genrec --log-level loud demo", "--log-level"},
		{"genrec demo --data no-such-file", "no-such-file"},
		{"genrec demo --rate 0", "--rate"},
		{"genrec demo --device tpu", "--device"},
		{"genrec recommend --user ann", "--redis is needed"},
		{"genrec recommend --redis 127.0.0.1:1", "--user is needed"},
		{"genrec recommend --redis 127.0.0.1:1 --user ann", "read the recommendations"},
		{"genrec recommend --redis 127.0.0.1:1 --user ann -n 101", "-n: 101 is not between 1 and 100"},
		{"genrec serve", "--redis is needed"},
		{"genrec serve --redis 127.0.0.1:1 --listen 8080", "--listen"},
		{"genrec serve --redis 127.0.0.1:1 --tls-cert x", "a server certificate and its key are needed together"},
		{"genrec serve --redis 127.0.0.1:1 --tokens-file /no/such", "--tokens-file: open /no/such"},
		{"genrec serve --redis 127.0.0.1:1 --rate-limit -1", "--rate-limit: -1 is less than 0"},
		{"genrec ingest --from noon", `--from: "noon" is neither earliest, latest nor a time`},
		{"genrec retrain --data x --history y", "--data, --history: both name something"},
		{"genrec ingest --history commands_test.go", "--history: open the history"},
		{"genrec dead dance", `unknown command "dance"`},
		{"genrec dead list", "--kafka is needed"},
		{"genrec dead list --kafka x --since noon", "--since"},
		{"genrec import", "which files"},
		{"genrec import x.csv", "--redis is needed"},
		{"genrec import --redis x x.csv", "--kafka is needed"},
		{"genrec import --dry-run --format dance x.csv", `--format: "dance" is none of`},
		{"genrec import --dry-run --resume x x.csv", "choose one"},
		{"genrec import --dry-run --column user=who x.csv", `--column: "user=who": "user" is none of user_id`},
		{"genrec retrain", "--redis or --data is needed"},
		{"genrec retrain --data x --redis y", "choose one"},
		{"genrec retrain --data no-such-file", "no-such-file"},
		{"genrec retrain --data x --recipe secret", `"secret" is neither a file nor one of bart, default, paper`},
		{"genrec retrain --nproc 0 --data x", "--nproc: 0 is less than 1"},
		{"genrec retrain --schedule noon --redis x", `--schedule: schedule "noon": expected exactly 5 fields`},
		{"genrec all --schedule noon", `--schedule: schedule "noon"`},
		{"genrec all --page 8090", `--page: "8090" is no HOST:PORT`},
		{"genrec demo --page no.such.host:1", "--page: listen at no.such.host:1"},
		{"genrec retrain --schedule @daily --data x", "nothing new to learn from --data"},
		{"genrec retrain --schedule @daily", "--redis is needed"},
		{"genrec retrain --data x --stage fright", `"fright" is neither full nor finetune`},
		{"genrec retrain --data x --max-memory plenty", `--max-memory: "plenty" is no number of bytes`},
		{"genrec retrain --data testdata/ring.txt --max-steps -1", "--max-steps: -1 is less than 0"},
		{"genrec retrain --data testdata/ring.txt --max-time -1s", "--max-time: -1s is less than 0s"},
		{"genrec retrain --data testdata/ring.txt --progress loud", `"loud" is neither auto nor json`},
		{"genrec eval --model m", "--data is needed"},
		{"genrec eval --model no-such-model --data testdata/ring.txt", "no-such-model"},
		{"genrec eval --model m --data testdata/ring.txt --ids secret", `"secret" is neither published nor permuted`},
	} {
		app := newApp()
		app.Writer, app.ErrWriter = io.Discard, io.Discard
		if err := app.Run(t.Context(), strings.Fields(c.line)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: error %v, want one with %q", c.line, err, c.want)
		}
	}
}

// All mistakes of the command line, the variables and the file are told at once, each with its
// name, and so is all that is missing.
func TestAllMistakesAtOnce(t *testing.T) {
	file := write(t, "stage: fright\nlatency-targte: 80ms\n")
	t.Setenv("GENREC_MAX_MEMORY", "plenty")
	_, err := runCommand(t, "infer", "--windwo", "9", "--partitions", "none", "--config", file, "--models")
	want := "6 mistakes:\n" +
		"  --windwo: there is no such flag: did you mean --window?\n" +
		`  --partitions: "none" is no whole number, or too large` + "\n" +
		"  --models: it needs a value\n" +
		`  GENREC_MAX_MEMORY: "plenty" is no number of bytes such as 6GiB` + "\n"
	if err == nil || !strings.HasPrefix(err.Error(), want) ||
		!strings.Contains(err.Error(), file+`:1: stage: "fright" is neither`) || !strings.Contains(err.Error(), file+":2: latency-targte: there is no such setting") {
		t.Errorf("infer ends in %v, want it to begin with %q and to name the file's lines", err, want)
	}
	t.Setenv("GENREC_MAX_MEMORY", "")
	for line, missing := range map[string][]string{
		"recommend":                          {"--user is needed", "--redis is needed"},
		"forget":                             {"--user or --users-file is needed", "--kafka is needed", "--redis is needed"},
		"import --no-refresh":                {"which files", "--redis is needed", "--kafka is needed, for dead letters and refreshes"},
		"export":                             {"which one file", "--redis is needed"},
		"eval":                               {"--data is needed", "--model is needed"},
		"serve --tls-cert x":                 {"--tls-cert: ", "--redis is needed"},
		"retrain --recipe secret":            {"--recipe: ", "--redis or --data is needed"},
		"ingest --kafka-user u":              {"a password is needed", "--kafka-sasl is needed"},
		"retrain --schedule @daily --data x": {"nothing new to learn from --data", "--redis is needed"},
	} {
		_, err := runCommand(t, strings.Fields(line)...)
		if exitCode(err) != 2 {
			t.Errorf("%s ends in %v, with code %d, want 2", line, err, exitCode(err))
		}
		for _, want := range missing {
			if !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("%s ends in %v, want %q in it", line, err, want)
			}
		}
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
