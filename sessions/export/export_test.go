package export

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"genrec/ingest/importer"
	"genrec/pkg/event"
	"genrec/sessions"
)

func newStore(t *testing.T) *sessions.Store {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()})
	t.Cleanup(func() { rdb.Close() })
	s, err := sessions.Open(t.Context(), rdb, sessions.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var odd = []string{"a", `qu"ote`, "com,ma", " new user ", "<b>&amp;", "ключ"}

func fill(t *testing.T, s *sessions.Store) (events int64) {
	t.Helper()
	for _, user := range odd {
		batch := sessions.UserEvents{User: user}
		for i, item := range odd {
			kind := event.DefaultLimits().Types[i]
			batch.Events = append(batch.Events, event.Event{
				ID: user + item, User: user, Item: item, Type: kind, Time: time.UnixMilli(1_700_000_000_000 + int64(i/2)).UTC(),
			})
			events++
		}
		if _, err := s.Append(t.Context(), []sessions.UserEvents{batch}); err != nil {
			t.Fatal(err)
		}
	}
	return events
}

type noProgress struct{}

func (noProgress) Start(string, int, int) {}
func (noProgress) Step(float64)           {}
func (noProgress) Finish()                {}

// Importing an export into an empty Redis restores the sequences.
func TestExportsCanBeImported(t *testing.T) {
	from := newStore(t)
	events := fill(t, from)
	want, err := from.Sequences(t.Context(), odd)
	if err != nil {
		t.Fatal(err)
	}
	importing := importer.Config{
		Limits: event.DefaultLimits(), Progress: noProgress{}, Logger: slog.New(slog.DiscardHandler),
		Reject: func(_ context.Context, rejected []importer.RejectedRow) error {
			return fmt.Errorf("rejected %+v", rejected)
		},
	}
	for _, name := range []string{"all.jsonl", "all.ndjson", "all.csv", "all.jsonl.gz", "all.csv.gz", "all.JSONL.zst", "all.csv.zst", "all.parquet"} {
		path := filepath.Join(t.TempDir(), name)
		seen := Counts{}
		done, err := ToFile(t.Context(), from, path, func(c Counts) { seen = c })
		if wantDone := (Counts{Users: int64(len(odd)), Events: events}); err != nil || done != wantDone || seen != wantDone {
			t.Fatalf("%s: exported %+v, shown %+v, error %v; want %+v", name, done, seen, err, wantDone)
		}
		to := newStore(t)
		if _, err := importer.Run(t.Context(), importing, to, []string{path}); err != nil {
			t.Fatalf("%s: import: %v", name, err)
		}
		got, err := to.Sequences(t.Context(), odd)
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if len(got[i].Interactions) != len(want[i].Interactions) {
				t.Fatalf("%s: %q has %d events of %d after the import", name, odd[i], len(got[i].Interactions), len(want[i].Interactions))
			}
			for k := range want[i].Interactions {
				if got[i].Interactions[k] != want[i].Interactions[k] {
					t.Errorf("%s: %q has %+v after the import, want %+v", name, odd[i], got[i].Interactions[k], want[i].Interactions[k])
				}
			}
		}
	}
}

func TestFailedExportKeepsTheOlderFile(t *testing.T) {
	s := newStore(t)
	fill(t, s)
	path := filepath.Join(t.TempDir(), "all.csv")
	if err := os.WriteFile(path, []byte("an older one"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ToFile(ctx, s, path, func(Counts) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	if older, err := os.ReadFile(path); err != nil || string(older) != "an older one" {
		t.Errorf("the older export is %q (error %v), want it unchanged", older, err)
	}
	if _, err := ToFile(t.Context(), s, filepath.Join(filepath.Dir(path), "all.xls"), func(Counts) {}); err == nil {
		t.Error("a file of an unknown format was written")
	}
	if _, err := ToFile(t.Context(), s, filepath.Join(filepath.Dir(path), "all.parquet.gz"), func(Counts) {}); err == nil {
		t.Error("a compressed Parquet file was written, which imports cannot read")
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("there are %d files (error %v), want only the older export", len(left), err)
	}
}

// An unreadable sequence does not fail the export of other users.
func TestExportSkipsUnreadableSequences(t *testing.T) {
	rdb := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()})
	t.Cleanup(func() { rdb.Close() })
	s, err := sessions.Open(t.Context(), rdb, sessions.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	events := fill(t, s)
	if err := rdb.Set(t.Context(), "genrec:seq:{a}", "what no Store writes, and long enough for a footer", 0).Err(); err != nil {
		t.Fatal(err)
	}
	done, err := ToFile(t.Context(), s, filepath.Join(t.TempDir(), "all.jsonl"), func(Counts) {})
	if want := (Counts{Users: int64(len(odd)) - 1, Events: events - int64(len(odd)), Skipped: 1}); err != nil || done != want {
		t.Errorf("got %+v, error %v; want %+v", done, err, want)
	}
}
