package importer

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A summary counts the rejected rows, and shows the first of them.
func TestSummary(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rejects.jsonl")
	reject, closeFile, err := RejectsFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := Summary{Result: Result{Rows: 10, Appended: 2, Duplicates: 1, Rejected: 7}, Seconds: 2}
	reject = s.Watch(reject)
	for line := range int64(7) {
		if err := reject(t.Context(), []RejectedRow{{File: "/data/a.csv", Line: line + 1, Reason: "bad_row", Detail: "why", Value: []byte("x")}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := closeFile(); err != nil {
		t.Fatal(err)
	}
	rejects, err := os.ReadFile(path)
	if want := `{"file":"/data/a.csv","line":1,"reason":"bad_row","detail":"why","row":"x"}` + "\n"; err != nil || !strings.HasPrefix(string(rejects), want) || strings.Count(string(rejects), "\n") != 7 {
		t.Errorf("the rejects are %s (error %v), want 7 lines, the first one %s", rejects, err, want)
	}
	var text strings.Builder
	s.Print(&text)
	want := "import rows=10 skipped=0 appended=2 known=1 refused=7 archived=0 refreshed=0 seconds=2.0 rows_per_s=5\n" +
		"refused reason=bad_row rows=7\n  a.csv:1: bad_row: why\n"
	if !strings.HasPrefix(text.String(), want) || strings.Count(text.String(), "a.csv") != shownRows {
		t.Errorf("got\n%s\nwant, with %d rows\n%s", text.String(), shownRows, want)
	}
	line, err := json.Marshal(&s)
	if want := `{"dry_run":false,"rows":10,"skipped":0,"valid":3,"appended":2,`; err != nil || !strings.HasPrefix(string(line), want) || !strings.Contains(string(line), `"refused_by_reason":{"bad_row":7},"first_refused":[{"file":"/data/a.csv","line":1,"reason":"bad_row","detail":"why"},`) {
		t.Errorf("got %s (error %v), want %s", line, err, want)
	}
	full := errors.New("disk full")
	reject = s.Watch(func(context.Context, []RejectedRow) error { return full })
	if err := reject(t.Context(), make([]RejectedRow, 1)); !errors.Is(err, full) || len(s.ByReason) != 0 {
		t.Errorf("error %v, reported %v, want no row that could not be kept", err, s.ByReason)
	}
}
