package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"genrec/pkg/history"
)

// rowGroup is the number of rows of a Parquet row group, which is held in memory while a file is written.
const rowGroup = 1 << 16

// fileWriter writes rows to a series of Parquet files: dir/name-00000.parquet and so on.
type fileWriter struct {
	dir, name string
	limit     int64 // rows per file; a user's rows are not divided
	current   *history.Writer
	done      []history.File
}

func newFileWriter(dir, name string, limit int64) *fileWriter {
	return &fileWriter{dir: dir, name: name, limit: limit}
}

// write adds the rows of a user.
func (w *fileWriter) write(rows []row) (err error) {
	if len(rows) == 0 {
		return nil
	}
	if w.current == nil {
		path := filepath.Join(w.dir, fmt.Sprintf("%s-%05d.parquet", w.name, len(w.done)))
		if w.current, err = history.Create(path, rowGroup); err != nil {
			return err
		}
	}
	for _, r := range rows {
		if err := w.current.Write(r.Row); err != nil {
			return err
		}
	}
	if w.current.Rows() < w.limit {
		return nil
	}
	return w.closeFile()
}

func (w *fileWriter) closeFile() error {
	done, err := w.current.Close()
	w.current = nil
	w.done = append(w.done, done)
	return err
}

// close completes the last file and returns all files.
func (w *fileWriter) close() ([]history.File, error) {
	if w.current != nil {
		if err := w.closeFile(); err != nil {
			return nil, err
		}
	}
	return w.done, nil
}

// discard removes an incomplete file.
func (w *fileWriter) discard() error {
	if w.current == nil {
		return nil
	}
	return w.current.Discard()
}

// snapshotReader reads the rows of a snapshot in order: by user hash.
type snapshotReader struct {
	snapshot *Snapshot
	nextFile int
	rows     *history.Reader[history.Row]
	peeked   *row // read, but not returned: its hash was above the limit
}

// readThrough appends all remaining rows whose user hash is at most maxHash.
func (r *snapshotReader) readThrough(rows []row, maxHash uint64) ([]row, error) {
	for {
		if r.peeked == nil {
			next, err := r.next()
			if err != nil || next == nil {
				return rows, err
			}
			r.peeked = next
		}
		if r.peeked.hash > maxHash {
			return rows, nil
		}
		rows = append(rows, *r.peeked)
		r.peeked = nil
	}
}

// next returns nil after the last row.
func (r *snapshotReader) next() (*row, error) {
	for {
		if r.rows == nil {
			if r.nextFile == len(r.snapshot.Files) {
				return nil, nil
			}
			var err error
			if r.rows, err = openFile[history.Row](r.snapshot.Dir, r.snapshot.Files[r.nextFile]); err != nil {
				return nil, err
			}
			r.nextFile++
		}
		next, err := r.rows.Next()
		if err == nil {
			found := newRow(next)
			return &found, nil
		}
		if !errors.Is(err, io.EOF) {
			return nil, errors.Join(err, r.close())
		}
		if err := r.close(); err != nil {
			return nil, err
		}
	}
}

func (r *snapshotReader) close() error {
	if r.rows == nil {
		return nil
	}
	err := r.rows.Close()
	r.rows = nil
	return err
}

// openFile verifies the checksum of a file of a snapshot and opens it. T selects the columns.
func openFile[T any](dir string, file history.File) (*history.Reader[T], error) {
	path := filepath.Join(dir, file.Name)
	if err := history.Verify(path, file.SHA256); err != nil {
		return nil, err
	}
	return history.Open[T](path)
}

// contextInterval is the number of rows between two checks of the context.
const contextInterval = 1 << 16

// forEachRow calls fn with every row and closes the reader.
func forEachRow[T any](ctx context.Context, rows *history.Reader[T], fn func(T) error) (err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for n := 0; ; n++ {
		if n%contextInterval == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		next, err := rows.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := fn(next); err != nil {
			return err
		}
	}
}
