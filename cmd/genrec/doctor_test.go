package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"genrec/pkg/embedded"
	"genrec/pkg/stream"
)

func TestDoctor(t *testing.T) {
	servers, err := embedded.Start(t.Context(), embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer servers.Close()
	history := filepath.Join(t.TempDir(), "history")
	line := []string{
		"doctor", "--json", "--kafka", servers.KafkaBrokers()[0], "--redis", servers.RedisAddr(), "--models", t.TempDir(),
		"--history", history, "--device", "auto",
	}

	found := examine(t, line)
	for _, subject := range []string{"Kafka", "topics", "history"} {
		if f := found[subject]; f.OK || !strings.Contains(f.Remedy, "start ingest") {
			t.Errorf("without topics and a history it says of %s: %+v", subject, f)
		}
	}
	if err := os.Mkdir(history, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := stream.EnsureTopics(t.Context(), stream.Cluster{Brokers: servers.KafkaBrokers()}, stream.DefaultTopics(), 1); err != nil {
		t.Fatal(err)
	}
	found = examine(t, line)
	for _, subject := range []string{"libtorch", "GPU", "Kafka", "topics", "Redis", "clock", "history", "model"} {
		if f, looked := found[subject]; !f.OK || strings.Contains(f.Text, "not examined") {
			t.Errorf("with all in order it says of %s: %+v (examined: %v)", subject, f, looked)
		}
	}
	servers.Redis().RequireAuth("hunter2")
	if f := examine(t, line)["Redis"]; f.OK || f.Remedy == "" || strings.Contains(f.Text, "hunter2") {
		t.Errorf("without the password it says of Redis: %+v", f)
	}
}

// Whatever is wrong, the doctor says what to do.
func TestDoctorAlwaysKnowsARemedy(t *testing.T) {
	t.Setenv("GENREC_MODELS", t.TempDir())
	publishVersions(t, os.Getenv("GENREC_MODELS"), "") // which are no models
	for _, c := range []struct{ subject, line string }{
		{"Kafka", "--kafka 127.0.0.1:1"},
		{"topics", "--kafka 127.0.0.1:1"},
		{"Kafka", "--kafka x:1 --kafka-user ann"},
		{"Redis", "--redis 127.0.0.1:1"},
		{"Redis", "--redis x:1 --redis-user ann"},
		{"history", "--history /no/such/folder"},
		{"history", "--history /proc"},
		{"model", ""},
		{"model", "--models doctor_test.go"},
		{"model", "--models s3://"},
	} {
		f, looked := examine(t, append([]string{"doctor", "--json"}, strings.Fields(c.line)...))[c.subject]
		if !looked || f.OK || f.Remedy == "" || f.Text == "" {
			t.Errorf("with %q it says of %s: %+v, want something wrong and a remedy", c.line, c.subject, f)
		}
	}
}

func TestDoctorFindsABrokenModel(t *testing.T) {
	folder := t.TempDir()
	text, err := runCommand(t, "doctor", "--models", folder)
	if err != nil || !strings.Contains(text, "genrec retrain makes the first one") {
		t.Errorf("without a model it ends with %v and prints\n%s", err, text)
	}
	folder = filepath.Join(folder, "models")
	if text, err := runCommand(t, "doctor", "--models", folder); err != nil || !strings.Contains(text, "genrec retrain makes the first one") {
		t.Errorf("without the models' folder it ends with %v and prints\n%s", err, text)
	}
	if _, err := runCommand(t, "models", "list", "--models", folder); exitCode(err) != 2 || !strings.Contains(err.Error(), "not there yet") {
		t.Errorf("models list ends with %v, want it to miss the folder", err)
	}
	if _, err := os.Stat(folder); err == nil {
		t.Error("commands that only look have made the models' folder")
	}
}

// examine returns the last finding of each subject.
func examine(t *testing.T, line []string) map[string]finding {
	t.Helper()
	printed, _ := runCommand(t, line...) // fails where something is wrong
	found := make(map[string]finding)
	for text := range strings.Lines(printed) {
		var f finding
		if err := json.Unmarshal([]byte(text), &f); err != nil {
			t.Fatalf("doctor prints %q: %v", text, err)
		}
		if before, known := found[f.Subject]; !known || before.OK {
			found[f.Subject] = f
		}
	}
	return found
}
