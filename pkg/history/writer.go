package history

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"github.com/parquet-go/parquet-go"

	"genrec/pkg/event"
)

// Row is an interaction in a file. Columns are named as the fields of an event, so that
// an import takes the files, too.
type Row struct {
	ID   string `parquet:"event_id,zstd"`
	User string `parquet:"user_id,dict,zstd"`
	Item string `parquet:"item_id,dict,zstd"`
	Time int64  `parquet:"timestamp,timestamp(millisecond),delta,zstd"` // Unix ms
	Type string `parquet:"type,dict,zstd"`
}

// File is a file of rows that is complete.
type File struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	Events int64  `json:"events"`
	SHA256 string `json:"sha256"`
}

// RowOf is the row of an event.
func RowOf(e event.Event) Row {
	return Row{ID: e.ID, User: e.User, Item: e.Item, Time: e.Time.UnixMilli(), Type: e.Type}
}

// Encoder writes rows as Parquet. It holds those of one row group in memory, and columns of
// them once more while it compresses.
type Encoder struct {
	table *parquet.GenericWriter[Row]
	batch []Row
}

const writeBatch = 256 // rows handed on at a time

// NewEncoder begins a file, in row groups of at most so many rows.
func NewEncoder(out io.Writer, rowGroup int64) *Encoder {
	return &Encoder{parquet.NewGenericWriter[Row](out, parquet.MaxRowsPerRowGroup(rowGroup)), make([]Row, 0, writeBatch)}
}

// Write adds a row.
func (e *Encoder) Write(row Row) error {
	if e.batch = append(e.batch, row); len(e.batch) < writeBatch {
		return nil
	}
	return e.flush()
}

func (e *Encoder) flush() error {
	_, err := e.table.Write(e.batch)
	clear(e.batch)
	e.batch = e.batch[:0]
	return err
}

// Close ends the file, but not what it is written to.
func (e *Encoder) Close() error {
	if err := e.flush(); err != nil {
		return err
	}
	return e.table.Close()
}

// Writer writes a file of rows, with its checksum.
type Writer struct {
	file  *os.File
	sum   hash.Hash
	table *Encoder
	bytes int64
	rows  int64
}

// Create begins a file, in row groups of at most so many rows.
func Create(path string, rowGroup int64) (*Writer, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	w := &Writer{file: file, sum: sha256.New()}
	w.table = NewEncoder(io.MultiWriter(file, w.sum, (*counter)(&w.bytes)), rowGroup)
	return w, nil
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// Write adds a row.
func (w *Writer) Write(row Row) error {
	w.rows++
	if err := w.table.Write(row); err != nil {
		return fmt.Errorf("write %s: %w", w.file.Name(), err)
	}
	return nil
}

// Rows is how many were written.
func (w *Writer) Rows() int64 { return w.rows }

// Close ends the file, which is on the disk then.
func (w *Writer) Close() (File, error) {
	if err := errors.Join(w.table.Close(), w.file.Sync(), w.file.Close()); err != nil {
		return File{}, fmt.Errorf("end %s: %w", w.file.Name(), err)
	}
	return File{
		Name: filepath.Base(w.file.Name()), Bytes: w.bytes, Events: w.rows, SHA256: hex.EncodeToString(w.sum.Sum(nil)),
	}, nil
}

// Discard removes the file in place of ending it.
func (w *Writer) Discard() error {
	return errors.Join(w.file.Close(), os.Remove(w.file.Name()))
}
