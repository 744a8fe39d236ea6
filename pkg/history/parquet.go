package history

import (
	"cmp"
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

// Row is an interaction in a Parquet file. The columns have the names of the fields of an event, so
// that package importer reads the files, too.
type Row struct {
	ID   string `parquet:"event_id,zstd"`                               // event id
	User string `parquet:"user_id,dict,zstd"`                           // user id
	Item string `parquet:"item_id,dict,zstd"`                           // item id
	Time int64  `parquet:"timestamp,timestamp(millisecond),delta,zstd"` // Unix ms
	Type string `parquet:"type,dict,zstd"`                              // interaction type
}

// RowOf returns the row of an event.
func RowOf(e event.Event) Row {
	return Row{ID: e.ID, User: e.User, Item: e.Item, Time: e.Time.UnixMilli(), Type: e.Type}
}

// Encoder encodes rows as Parquet. It holds one row group in memory, and its columns a second time
// while it compresses them.
type Encoder struct {
	table *parquet.GenericWriter[Row]
	batch []Row
}

const writeBatch = 256 // rows in a call of the library

// NewEncoder returns an Encoder that writes to out, with at most rowGroup rows in a row group.
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

// Close writes the rest of the file. It does not close the underlying writer.
func (e *Encoder) Close() error {
	if err := e.flush(); err != nil {
		return err
	}
	return e.table.Close()
}

// File describes a complete file of rows.
type File struct {
	Name   string `json:"name"`   // base name
	Bytes  int64  `json:"bytes"`  // size of the file
	Events int64  `json:"events"` // number of rows
	SHA256 string `json:"sha256"` // hex digits of the checksum
}

// Writer writes a file of rows and computes its checksum.
type Writer struct {
	file  *os.File
	sum   hash.Hash
	table *Encoder
	bytes int64
	rows  int64
}

// Create creates a file with at most rowGroup rows in a row group.
func Create(path string, rowGroup int64) (*Writer, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	w := &Writer{file: file, sum: sha256.New()}
	w.table = NewEncoder(io.MultiWriter(file, w.sum, (*byteCounter)(&w.bytes)), rowGroup)
	return w, nil
}

// byteCounter counts the bytes that are written to it.
type byteCounter int64

func (c *byteCounter) Write(p []byte) (int, error) {
	*c += byteCounter(len(p))
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

// Rows returns the number of rows written so far.
func (w *Writer) Rows() int64 { return w.rows }

// Close completes the file and syncs it to the disk.
func (w *Writer) Close() (File, error) {
	if err := errors.Join(w.table.Close(), w.file.Sync(), w.file.Close()); err != nil {
		return File{}, fmt.Errorf("complete %s: %w", w.file.Name(), err)
	}
	return File{
		Name: filepath.Base(w.file.Name()), Bytes: w.bytes, Events: w.rows, SHA256: hex.EncodeToString(w.sum.Sum(nil)),
	}, nil
}

// Discard removes the file instead of completing it.
func (w *Writer) Discard() error {
	return errors.Join(w.file.Close(), os.Remove(w.file.Name()))
}

// Reader reads a file of rows, or some of its columns: T is Row, or a struct with fields that have
// some of the same tags.
type Reader[T any] struct {
	file  *os.File
	table *parquet.GenericReader[T]
	rows  []T // buffer
	ahead []T // the part of rows that was not returned
}

const readBatch = 1024 // rows read at a time

// Open opens a file. The caller must have verified its checksum (Verify): the library panics on
// corrupt files.
func Open[T any](path string) (*Reader[T], error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	table, err := parquet.OpenFile(file, info.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), file.Close())
	}
	return &Reader[T]{file: file, table: parquet.NewGenericReader[T](table), rows: make([]T, readBatch)}, nil
}

// Next returns the next row, or io.EOF at the end.
func (r *Reader[T]) Next() (row T, err error) {
	if len(r.ahead) == 0 {
		n, err := r.table.Read(r.rows)
		if n == 0 && errors.Is(err, io.EOF) {
			return row, io.EOF
		}
		if n == 0 {
			return row, fmt.Errorf("read %s: %w", r.file.Name(), cmp.Or(err, io.ErrNoProgress))
		}
		r.ahead = r.rows[:n]
	}
	row, r.ahead = r.ahead[0], r.ahead[1:]
	return row, nil
}

// Close closes the file.
func (r *Reader[T]) Close() error {
	return errors.Join(r.table.Close(), r.file.Close())
}

// ErrDamaged is the error of a file whose checksum is wrong.
var ErrDamaged = errors.New("damaged: wrong checksum")

// Verify compares a file with the hex digits of its SHA-256, or with the first of them. The error
// of a mismatch is ErrDamaged.
func Verify(path, checksum string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if found := hex.EncodeToString(sum.Sum(nil)); len(checksum) < nameSum || len(found) < len(checksum) || found[:len(checksum)] != checksum {
		return fmt.Errorf("%s is %w (%.16s, want %.16s)", path, ErrDamaged, found, checksum)
	}
	return nil
}
