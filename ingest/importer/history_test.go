package importer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"genrec/pkg/event"
	"genrec/pkg/history"
	"genrec/sessions"
)

// erased is an Erasures: the times by user.
type erasedUsers map[string]time.Time

func (f erasedUsers) Erasures(_ context.Context, users []string) (at []time.Time, err error) {
	for _, user := range users {
		at = append(at, f[user])
	}
	return at, nil
}

// eventLines returns events of ten users, one millisecond apart.
func eventLines(rows int) string {
	var text strings.Builder
	for i := range rows {
		fmt.Fprintf(&text, `{"event_id": "e%d", "user_id": "u%d", "item_id": "i", "timestamp": %d}`+"\n", i, i%10, 1_772_366_400_000+i)
	}
	return text.String()
}

// inHistory counts the events of a history by id and by user.
func inHistory(t *testing.T, a *history.Dir) (times map[string]int, users map[string]int) {
	t.Helper()
	segments, err := a.Segments()
	if err != nil {
		t.Fatal(err)
	}
	times, users = make(map[string]int), make(map[string]int)
	for _, s := range segments {
		rows, err := s.Open()
		if err != nil {
			t.Fatal(err)
		}
		for {
			row, err := rows.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			times[row.ID]++
			users[row.User]++
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return times, users
}

func (h *harness) withHistory(t *testing.T, dir string, erased erasedUsers) *history.Dir {
	t.Helper()
	a, err := history.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	h.History = &History{Dir: a, Erasures: erased, segmentEvents: 2 * batchRows}
	return a
}

// All events of a file are written to the history, except those before the erasure of their user. A
// second import of the same file writes the same segments.
func TestImportWritesHistory(t *testing.T) {
	const rows = 5*batchRows + 7
	h := newHarness()
	until := time.UnixMilli(1_772_366_400_000 + 500)
	a := h.withHistory(t, t.TempDir(), erasedUsers{"u3": until, "u4": time.Now()})
	path := write(t, "events.jsonl", []byte(eventLines(rows)))
	const gone = 50 + 257 // of u3 up to row 500, and all of u4
	for range 2 {
		if got := h.run(t, path); got.HistoryEvents != rows-gone || got.Rows != rows {
			t.Errorf("got %+v, want %d events in the history", got, rows-gone)
		}
		times, users := inHistory(t, a)
		if most := slices.Max(slices.Collect(maps.Values(times))); len(times) != rows-gone || most != 1 {
			t.Errorf("%d events are in the history, some %d times, want %d once", len(times), most, rows-gone)
		}
		if users["u4"] != 0 || users["u3"] != 207 || users["u5"] != 257 {
			t.Errorf("the history has %d events of u4, who was erased, %d of u3, %d of u5; want 0, 207, 257", users["u4"], users["u3"], users["u5"])
		}
	}
	if segments, err := a.Segments(); err != nil || len(segments) != 2 {
		t.Errorf("%d segments (%v), want 2: a segment ends with the batch that fills it", len(segments), err)
	}
}

// stopping cancels the context at an Append call.
type stopping struct {
	Sessions
	at, calls int
	stop      context.CancelFunc
}

func (s *stopping) Append(ctx context.Context, batch []sessions.UserEvents) ([]sessions.Appended, error) {
	if s.calls++; s.calls == s.at {
		s.stop()
		return nil, ctx.Err()
	}
	return s.Sessions.Append(ctx, batch)
}

// Wherever an import is stopped, the next one completes the history: the resume file is never ahead
// of the published segments. The progress of an import without a history does not count.
func TestStoppedImportLosesNoHistory(t *testing.T) {
	const rows = 6*batchRows + 1
	path := write(t, "events.jsonl", []byte(eventLines(rows)))
	for stop := 1; stop <= 7; stop++ {
		dir, resume := t.TempDir(), filepath.Join(t.TempDir(), "resume")
		open := func() (*harness, *history.Dir) {
			h := newHarness()
			var err error
			if h.Resume, err = OpenResumeFile(resume); err != nil {
				t.Fatal(err)
			}
			return h, h.withHistory(t, dir, nil)
		}
		ctx, cancel := context.WithCancel(t.Context())
		h, _ := open()
		first, err := Run(ctx, h.Config, &stopping{Sessions: h, at: stop, stop: cancel}, []string{path})
		if err == nil {
			t.Fatalf("the import was not stopped at batch %d", stop)
		}
		h, a := open()
		second := h.run(t, path)
		if want := int64(stop-1) / 2 * 2 * batchRows; second.Skipped != want || first.HistoryEvents != want {
			t.Errorf("stopped at batch %d: %d events were on the disk and %d skipped, want %d", stop, first.HistoryEvents, second.Skipped, want)
		}
		times, _ := inHistory(t, a)
		if most := slices.Max(slices.Collect(maps.Values(times))); len(times) != rows || most != 1 {
			t.Errorf("stopped at batch %d: %d events are in the history, some %d times, want %d once", stop, len(times), most, rows)
		}
		if drafts, _ := filepath.Glob(filepath.Join(dir, "segments", ".*")); len(drafts) > 0 {
			t.Errorf("stopped at batch %d: %v is left", stop, drafts)
		}
	}
	h := newHarness()
	var err error
	if h.Resume, err = OpenResumeFile(filepath.Join(t.TempDir(), "resume")); err != nil {
		t.Fatal(err)
	}
	h.run(t, path)
	h.withHistory(t, t.TempDir(), nil)
	if got := h.run(t, path); got.Skipped != 0 || got.HistoryEvents != rows {
		t.Errorf("got %+v after an import without a history, want all of it again", got)
	}
	if got := h.run(t, path); got.Skipped != rows || got.HistoryEvents != 0 {
		t.Errorf("got %+v after an import with a history, want all skipped", got)
	}
}

func TestHistoryWriteError(t *testing.T) {
	h := newHarness()
	dir := t.TempDir()
	h.withHistory(t, dir, nil)
	if err := os.RemoveAll(filepath.Join(dir, "segments")); err != nil {
		t.Fatal(err)
	}
	path := write(t, "events.jsonl", []byte(eventLines(3)))
	if _, err := Run(t.Context(), h.Config, h, []string{path}); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "create a history segment") {
		t.Errorf("error %v, want one with the file and the history", err)
	}
}

// Segments of the history can be imported.
func TestHistoryFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "segment.parquet")
	w, err := history.Create(path, 10)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 7_000_000, time.UTC)
	if err := w.Write(history.Row{ID: "e1", User: "ann", Item: "apple", Type: "purchase", Time: at.UnixMilli()}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := newParquetReader(bytes.NewReader(file), int64(len(file)), anyOptions)
	if err != nil {
		t.Fatal(err)
	}
	row, err := rows.next()
	if err != nil {
		t.Fatal(err)
	}
	e, err := event.Decode(row.value, at, event.DefaultLimits())
	if err != nil || e.ID != "e1" || e.User != "ann" || e.Item != "apple" || e.Type != "purchase" || !e.Time.Equal(at) {
		t.Errorf("a row of a segment is imported as %+v (%v)", e, err)
	}
}
