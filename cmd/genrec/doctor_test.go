package main

import (
	"encoding/json"
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
	line := []string{"doctor", "--json", "--kafka", servers.KafkaBrokers()[0], "--redis", servers.RedisAddr(), "--models", t.TempDir()}

	found := examine(t, line)
	if f := found["Kafka"]; f.OK || !strings.Contains(f.Remedy, "creates the topics") {
		t.Errorf("without topics it says of Kafka: %+v", f)
	}
	if err := stream.EnsureTopics(t.Context(), stream.Cluster{Brokers: servers.KafkaBrokers()}, stream.DefaultTopics(), 1); err != nil {
		t.Fatal(err)
	}
	for subject, f := range examine(t, line) {
		if !f.OK {
			t.Errorf("with all in order it says of %s: %+v", subject, f)
		}
	}
	servers.Redis().RequireAuth("hunter2")
	if f := examine(t, line)["Redis"]; f.OK || f.Remedy == "" || strings.Contains(f.Text, "hunter2") {
		t.Errorf("without the password it says of Redis: %+v", f)
	}
}

func TestDoctorFindsABrokenModel(t *testing.T) {
	folder := t.TempDir()
	if _, err := runCommand(t, "doctor", "--models", folder, "--device", "gpu"); err == nil {
		t.Error("a device that does not exist is no problem")
	}
	text, err := runCommand(t, "doctor", "--models", folder)
	if err != nil || !strings.Contains(text, "genrec retrain makes the first one") {
		t.Errorf("without a model it ends with %v and prints\n%s", err, text)
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
