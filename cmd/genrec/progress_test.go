package main

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

// With --progress json, every line of a training is JSON, with the end of each stage and the
// metrics of each validation.
func TestProgressForMachines(t *testing.T) {
	recipe := filepath.Join(t.TempDir(), "quick.json")
	if err := os.WriteFile(recipe, []byte(quickRecipe), 0o644); err != nil {
		t.Fatal(err)
	}
	logger := slog.Default()
	defer slog.SetDefault(logger)
	said := stderrOf(t, func() {
		runJSON[map[string]any](t, "genrec", "retrain", "--data", "testdata/ring.txt", "--ids", "permuted", "--recipe", recipe,
			"--models", t.TempDir(), "--device", "cpu", "--progress", "json", "--json")
	})
	ended, validated := make(map[string]bool), 0
	for line := range bytes.Lines(said) {
		var l struct {
			Msg, Stage string
			Step, Of   int
			Left       *float64 `json:"left_s"`
			NDCG       *float64 `json:"ndcg@10"`
		}
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatalf("stderr has the line %q, which is no JSON: %v", line, err)
		}
		switch {
		case l.Msg == "progress" && l.Of > 0 && l.Step == l.Of && l.Left != nil:
			ended[l.Stage] = true
		case l.Msg == "validated" && l.NDCG != nil:
			validated++
		}
	}
	if !ended["pretrain"] || !ended["finetune"] || !ended["evaluate"] || validated != 2 {
		t.Errorf("the stages that ended are %v, with %d validations, want pretrain, finetune and evaluate, with 2, in\n%s", ended, validated, said)
	}
}

// For work of unknown length, a terminal shows how much is done, on a line of its own.
func TestProgressOfUnknownLength(t *testing.T) {
	read, terminal, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	p := &progress{out: terminal}
	p.Reached("export", "users", 500) // too early for a bar
	p.started = p.started.Add(-barDelay)
	p.Reached("export", "users", 1500)
	p.Finish()
	terminal.Close()
	shown, err := io.ReadAll(read)
	if err != nil || !bytes.Contains(shown, []byte("export: 1500 users")) || !bytes.HasSuffix(shown, []byte("\n")) {
		t.Errorf("a terminal shows %q (error %v)", shown, err)
	}
}
