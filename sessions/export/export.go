// Package export writes all sequences as interaction events, in files that an import
// reads.
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

// Source is where the sequences of all users are.
type Source interface {
	Scan(ctx context.Context, each func(sessions.Sequence) error) (skipped int64, err error)
}

// Counts says what was written so far.
type Counts struct {
	Users, Events int64
	Skipped       int64 // users whose sequence is unreadable; counted at the end
}

// ToFile writes to a file, whose name says the format: .jsonl, .ndjson or .csv, each
// also with .gz or .zst, or .parquet. The file is there when it is whole, in place of an older one.
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

// To writes to out in the format that a file name says. The events of a user follow
// each other, oldest first.
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
	ends  []func() error // in this order
}

func (w *writer) close() error {
	var err error
	for _, end := range w.ends {
		err = errors.Join(err, end())
	}
	return err
}

// rowGroup is how many rows a Parquet file holds in memory while it is written.
const rowGroup = 65_536

func open(out io.Writer, name string) (*writer, error) {
	w := &writer{}
	name = strings.ToLower(filepath.Base(name))
	switch filepath.Ext(name) {
	case ".parquet": // which is compressed inside
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
		return nil, errors.New("is none of .jsonl, .ndjson, .csv, each also with .gz or .zst, and .parquet")
	}
	return w, nil
}

// writeRecord writes a line of CSV. Unlike encoding/csv, it puts a field with a blank behind it in
// quotes, too: readers drop blanks that are not.
func writeRecord(out *bufio.Writer, fields ...string) error {
	for i, field := range fields {
		if i > 0 {
			_ = out.WriteByte(',') // an error comes again with the last write
		}
		if strings.ContainsAny(field, ",\"\r\n") || strings.TrimSpace(field) != field {
			field = `"` + strings.ReplaceAll(field, `"`, `""`) + `"`
		}
		_, _ = out.WriteString(field)
	}
	return out.WriteByte('\n')
}
