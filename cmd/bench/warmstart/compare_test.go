package warmstart

import (
	"os"
	"path/filepath"
	"testing"
)

func TestReachedAfter(t *testing.T) {
	curves := filepath.Join(t.TempDir(), "curves.jsonl")
	lines := `{"stage":"finetune","epoch":1,"batch":20,"seconds":1.5,"loss":0.9}
{"stage":"validate","epoch":1,"seconds":2.5,"validation":{"ndcg@10":0.03}}
{"stage":"validate","epoch":2,"seconds":5.25,"validation":{"ndcg@10":0.05}}
{"stage":"validate","epoch":3,"seconds":7,"validation":{"ndcg@10":0.04}}
`
	if err := os.WriteFile(curves, []byte(lines), 0o644); err != nil {
		t.Fatal(err)
	}
	for goal, want := range map[float64]string{0.03: "2.5", 0.035: "5.2", 0.05: "5.2", 0.06: "never"} {
		if got, err := reachedAfter(curves, goal); err != nil || got != want {
			t.Errorf("%v is reached after %q (%v), want %q", goal, got, err, want)
		}
	}
	if err := os.WriteFile(curves, []byte(lines+`{"stage`), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := reachedAfter(curves, 1); err == nil {
		t.Errorf("a truncated file: got %q, want an error", got)
	}
}
