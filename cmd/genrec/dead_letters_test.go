package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/stream"
)

func TestDeadLettersAreListedAndReplayed(t *testing.T) {
	servers, _ := embeddedtest.Start(t)
	w := stream.NewDeadLetterWriter(servers.Cluster(), stream.DefaultTopics().DeadLetters)
	defer w.Close()
	original := kafka.Message{
		Topic: "interactions", Partition: 1, Offset: 9, Key: []byte("ann"), Value: []byte("\xff{"),
		Headers: []kafka.Header{{Key: "trace", Value: []byte("abc")}},
	}
	for _, reason := range []string{"not_json", "bad_id"} {
		if err := w.WriteMessages(t.Context(), stream.NewDeadLetter(original, reason, "a\x1b[31mdetail")); err != nil {
			t.Fatal(err)
		}
	}
	run := func(line string) string {
		t.Helper()
		var out bytes.Buffer
		app := newApp()
		app.Writer = &out
		if err := app.Run(t.Context(), append(strings.Fields(line), "--kafka", servers.KafkaBrokers()[0])); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		return out.String()
	}

	table := run("genrec dead list --since 1h")
	for _, want := range []string{"not_json", "bad_id", "ann", "interactions/1/9", `a\x1b[31mdetail`} {
		if !strings.Contains(table, want) {
			t.Errorf("the table lacks %q:\n%s", want, table)
		}
	}
	if late := run("genrec dead list --since 2100-01-01T00:00:00Z"); late != "no dead letters\n" {
		t.Errorf("a list since a future time has %s", late)
	}
	var line struct {
		Reason, Key string
		Value       []byte `json:"value_base64"`
		Headers     map[string]string
		Offset      int64
	}
	if err := json.Unmarshal([]byte(run("genrec dead list --json --reason bad_id")), &line); err != nil {
		t.Fatal(err)
	}
	if line.Reason != "bad_id" || line.Key != "ann" || string(line.Value) != "\xff{" || line.Headers["trace"] != "abc" || line.Offset != 9 {
		t.Errorf("got %+v, want the whole dead letter", line)
	}

	for _, step := range []struct{ line, want string }{
		{"genrec dead replay --dry-run", "2 to be replayed, 0 replayed before"},
		{"genrec dead replay --reason bad_id", "1 replayed, 0 replayed before"},
		{"genrec dead replay", "1 replayed, 1 replayed before"},
	} {
		if got := run(step.line); !strings.HasPrefix(got, step.want) {
			t.Errorf("%s prints %q, want %q", step.line, got, step.want)
		}
	}
}
