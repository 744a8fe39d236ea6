// Package export writes the sequences of all users as interaction events to a file that an import
// reads: JSON Lines, CSV or Parquet. One scan of Redis streams through an encoder for the format,
// so memory does not grow with the number of users.
package export

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"genrec/pkg/event"
	"genrec/pkg/history"
	"genrec/sessions"
)

// Source provides the sequences of all users. *sessions.Store implements it.
type Source interface {
	// Scan calls each with every sequence, and returns the number of unreadable ones.
	Scan(ctx context.Context, each func(sessions.Sequence) error) (skipped int64, err error)
}

// Counts is the progress of an export.
type Counts struct {
	Users   int64 // users written
	Events  int64 // events written
	Skipped int64 // users with an unreadable sequence; set at the end
}

// ToFile writes to a file whose extension selects the format: .jsonl, .ndjson or .csv, optionally
// followed by .gz or .zst, or .parquet. The file appears, or replaces an older one, only when it is
// complete.
func ToFile(ctx context.Context, source Source, path string, progress func(Counts)) (done Counts, err error) {
	part, err := os.OpenFile(path+".part", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return done, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(part.Name()))
		}
	}()
	done, err = To(ctx, source, part, path, progress)
	if err = errors.Join(err, part.Sync(), part.Close()); err != nil {
		return done, err
	}
	return done, os.Rename(part.Name(), path)
}

// To writes to out in the format that the extension of name selects, see ToFile. The events of a
// user are consecutive, oldest first.
func To(ctx context.Context, source Source, out io.Writer, name string, progress func(Counts)) (done Counts, err error) {
	events, err := open(out, name)
	if err != nil {
		return done, fmt.Errorf("export to %s: %w", name, err)
	}
	done.Skipped, err = source.Scan(ctx, func(s sessions.Sequence) error {
		for _, i := range s.Interactions {
			e := event.Event{ID: i.EventID, User: s.User, Item: i.Item, Type: i.Type, Time: i.Time}
			if err := events.write(e); err != nil {
				return fmt.Errorf("export to %s: %w", name, err)
			}
		}
		done.Users++
		done.Events += int64(len(s.Interactions))
		progress(done)
		return nil
	})
	return done, errors.Join(err, events.close())
}

// writer writes events in one format.
type writer struct {
	write func(event.Event) error
	ends  []func() error // called in this order by close
}

func (w *writer) close() error {
	var err error
	for _, end := range w.ends {
		err = errors.Join(err, end())
	}
	return err
}

// rowGroup is the number of rows per row group of a Parquet file, which is built in memory.
const rowGroup = 65_536

func open(out io.Writer, name string) (*writer, error) {
	w := &writer{}
	name = strings.ToLower(filepath.Base(name))
	switch filepath.Ext(name) {
	case ".parquet": // compressed by itself
		table := history.NewEncoder(out, rowGroup)
		w.write = func(e event.Event) error { return table.Write(history.RowOf(e)) }
		w.ends = []func() error{table.Close}
		return w, nil
	case ".gz":
		zipped := gzip.NewWriter(out)
		out, name, w.ends = zipped, strings.TrimSuffix(name, ".gz"), []func() error{zipped.Close}
	case ".zst":
		zipped, err := zstd.NewWriter(out, zstd.WithEncoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		out, name, w.ends = zipped, strings.TrimSuffix(name, ".zst"), []func() error{zipped.Close}
	}
	buffered := bufio.NewWriterSize(out, 1<<16)
	w.ends = append([]func() error{buffered.Flush}, w.ends...)
	switch filepath.Ext(name) {
	case ".jsonl", ".ndjson":
		lines := json.NewEncoder(buffered)
		lines.SetEscapeHTML(false)
		w.write = func(e event.Event) error { return lines.Encode(e) }
	case ".csv":
		w.write = func(e event.Event) error {
			return writeRecord(buffered, e.ID, e.User, e.Item, strconv.FormatInt(e.Time.UnixMilli(), 10), e.Type)
		}
		if err := writeRecord(buffered, "event_id", "user_id", "item_id", "timestamp", "type"); err != nil {
			return nil, err
		}
	default:
		return nil, errors.New("unknown extension: use .jsonl, .ndjson or .csv, optionally followed by .gz or .zst, or .parquet")
	}
	return w, nil
}

// writeRecord writes a CSV record. Unlike encoding/csv, it also quotes a field with trailing white
// space, which readers would trim.
func writeRecord(out *bufio.Writer, fields ...string) error {
	for i, field := range fields {
		if i > 0 {
			_ = out.WriteByte(',') // the last write returns the error, too
		}
		if strings.ContainsAny(field, ",\"\r\n") || strings.TrimSpace(field) != field {
			field = `"` + strings.ReplaceAll(field, `"`, `""`) + `"`
		}
		_, _ = out.WriteString(field)
	}
	return out.WriteByte('\n')
}
