package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/history"
	"genrec/pkg/stream"
	"genrec/retrain/snapshot"
	"genrec/sessions"
)

func TestImport(t *testing.T) {
	servers, _ := embeddedtest.Start(t)
	path := filepath.Join(t.TempDir(), "events.csv")
	text := "event_id,user_id,item_id,timestamp\ne1,ann,apple,1772366400000\ne2,ann,beer,1772366400001\ne3,ann,carrot,noon\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	rejects := filepath.Join(t.TempDir(), "rejects.jsonl")
	run := func(args ...string) string {
		t.Helper()
		var out bytes.Buffer
		app := newApp()
		app.Writer = &out
		if err := app.Run(t.Context(), append(append([]string{"genrec", "import", "--redis", servers.RedisAddr()}, args...), path)); err != nil {
			t.Fatalf("import %v: %v", args, err)
		}
		return out.String()
	}
	for _, c := range []struct{ args, want string }{
		{"--kafka " + servers.KafkaBrokers()[0], "import rows=3 skipped=0 appended=2 known=0 refused=1 archived=0 refreshed=1 "},
		{"--no-refresh --rejects " + rejects, "import rows=3 skipped=0 appended=0 known=2 refused=1 archived=0 refreshed=0 "},
	} {
		if got := run(strings.Fields(c.args)...); !strings.HasPrefix(got, c.want) {
			t.Errorf("import %s prints %q, want %q", c.args, got, c.want)
		}
	}
	if line, err := os.ReadFile(rejects); err != nil || !strings.Contains(string(line), `"line":4,"reason":"bad_timestamp"`) {
		t.Errorf("the rejects are %s (%v), want line 4", line, err)
	}
	count := func(topic string) (n int, last kafka.Message) {
		err := stream.Scan(t.Context(), servers.Cluster(), topic, stream.Earliest, func(m kafka.Message) error {
			n, last = n+1, m
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return n, last
	}
	if n, m := count(stream.DefaultTopics().Refreshes); n != 1 || string(m.Key) != "ann" {
		t.Errorf("there are %d refreshes, the last of %q, want one of ann", n, m.Key)
	}
	n, m := count(stream.DefaultTopics().DeadLetters)
	if l, err := stream.DecodeDeadLetter(m); n != 1 || err != nil || l.Original.Topic != "file:"+path || l.Original.Offset != 4 {
		t.Errorf("there are %d dead letters, the last %+v (error %v), want one of line 4", n, l, err)
	}
}

// retrain uses all events imported into the history, beyond the window of the sequences: once,
// however often they are imported, and without users who were forgotten.
func TestImportIntoTheHistory(t *testing.T) {
	servers, rdb := embeddedtest.Start(t)
	var text strings.Builder
	const events = 300
	text.WriteString("event_id,user_id,item_id,timestamp\n")
	for i := range events {
		fmt.Fprintf(&text, "a%d,ann,item-%d,%d\nb%d,bob,item-%d,%d\n", i, i, 1_772_366_400_000+i, i, i, 1_772_366_400_000+i)
	}
	path, dir := filepath.Join(t.TempDir(), "events.csv"), t.TempDir()
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	store, err := sessions.Open(t.Context(), rdb, sessions.Options{})
	if err != nil {
		t.Fatal(err)
	}
	past, err := history.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	build := func() *snapshot.Snapshot {
		taken, err := snapshot.Build(t.Context(), snapshot.Config{History: past, Sequences: store, Erasures: store, Watermark: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		return taken
	}
	for round, wantUsers := range []int64{2, 1} {
		for range 2 {
			app := newApp()
			app.Writer = io.Discard
			if err := app.Run(t.Context(), []string{
				"genrec", "import", "--redis", servers.RedisAddr(), "--no-refresh", "--rejects", filepath.Join(t.TempDir(), "rejects"), "--history", dir, path,
			}); err != nil {
				t.Fatal(err)
			}
		}
		if taken := build(); taken.Users != wantUsers || taken.Events != wantUsers*events {
			t.Errorf("round %d: the snapshot has %d events of %d users, want %d of each of %d", round, taken.Events, taken.Users, events, wantUsers)
		}
		if _, err := store.Forget(t.Context(), []string{"bob"}, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
}

// An import without a valid row fails, a dry run, too, after printing the report.
func TestImportOfNothingFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.csv")
	if err := os.WriteFile(path, []byte("user_id,item_id,timestamp\nann,apple,28/03/2026\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	servers, _ := embeddedtest.Start(t)
	rejects := filepath.Join(t.TempDir(), "rejects")
	for _, args := range [][]string{{"--dry-run"}, {"--redis", servers.RedisAddr(), "--no-refresh", "--rejects", rejects}} {
		printed, err := runCommand(t, append(append([]string{"import"}, args...), path)...)
		if err == nil || exitCode(err) != 1 || !strings.Contains(err.Error(), "--time-format") || !strings.Contains(printed, "rows=1") || !strings.Contains(printed, "refused=1") {
			t.Errorf("import %v: printed %q, error %v", args, printed, err)
		}
		printed, err = runCommand(t, append(append([]string{"import"}, args...), "--time-format", "%d/%m/%Y", path)...)
		if err != nil || !strings.Contains(printed, "refused=0") {
			t.Errorf("import %v with --time-format: printed %q, error %v", args, printed, err)
		}
	}
	for flag, want := range map[string]string{"--time-format=%d/%m": "does not say year, month and day", "--column=user=who": "is none of user_id"} {
		if _, err := runCommand(t, "import", "--dry-run", flag, path); err == nil || exitCode(err) != 2 || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q and exit code 2", flag, err, want)
		}
	}
}

// The dry runs in docs/EVENTS.md succeed on small files of the same names.
func TestImportDryRuns(t *testing.T) {
	page, err := os.ReadFile("../../docs/EVENTS.md")
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^genrec import --dry-run .*$`).FindAllString(string(page), -1)
	if len(lines) != 5 {
		t.Fatalf("docs/EVENTS.md has the dry runs %q, want one with refused rows, one in JSON and three of other files", lines)
	}
	rejects := filepath.Join(t.TempDir(), "refused.jsonl")
	for _, line := range lines {
		args := strings.Fields(strings.Replace(line, "refused.jsonl", rejects, 1))
		name := args[len(args)-1]
		args[len(args)-1] = filepath.Join("../../ingest/importer/testdata", name)
		var out bytes.Buffer
		app := newApp()
		app.Writer = &out
		if err := app.Run(t.Context(), args); err != nil {
			t.Errorf("%q: %v", line, err)
			continue
		}
		if slices.Contains([]string{"sessions.jsonl", "clicks.csv", "orders"}, name) {
			if got := out.String(); !strings.HasPrefix(got, "dry run rows=3 valid=3 refused=0 users=2 ") {
				t.Errorf("%q prints\n%s\nwant 3 valid rows", line, got)
			}
			continue
		}
		if !strings.Contains(line, "--json") {
			if got := out.String(); !strings.HasPrefix(got, "dry run rows=4 valid=2 refused=2 users=2 ") ||
				!strings.Contains(got, "\nrefused reason=bad_row rows=1\n") || !strings.Contains(got, "\n  "+name+":4: bad_row: ") {
				t.Errorf("%q prints\n%s\nwant 2 of 4 rows refused, with reasons and lines", line, got)
			}
			continue
		}
		var got struct {
			DryRun   bool             `json:"dry_run"`
			Valid    int              `json:"valid"`
			ByReason map[string]int   `json:"refused_by_reason"`
			First    []map[string]any `json:"first_refused"`
		}
		if err := json.Unmarshal(out.Bytes(), &got); err != nil || !got.DryRun || got.Valid != 2 || got.ByReason["bad_row"] != 1 || len(got.First) != 2 {
			t.Errorf("%q prints %s (%v), want 2 valid rows and 2 refused", line, out.String(), err)
		}
	}
	if kept, err := os.ReadFile(rejects); err != nil || bytes.Count(kept, []byte("\n")) != 2 {
		t.Errorf("the rejects are %s (%v), want 2 lines", kept, err)
	}
}
