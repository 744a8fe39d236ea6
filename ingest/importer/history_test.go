package importer

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"genrec/pkg/event"
	"genrec/pkg/history"
)

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
