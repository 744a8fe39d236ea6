package history

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/parquet-go/parquet-go"
)

// Reader reads a file of rows, or some of their columns: T is Row or a struct with fields
// of the same tags.
type Reader[T any] struct {
	file  *os.File
	table *parquet.GenericReader[T]
	rows  []T // read ahead
	ahead []T // the part of them that was not returned
}

const readBatch = 1024 // rows read at a time

// Open opens a file that Verify has found to be whole: the library panics about others.
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

// Next returns the rows one by one, and then io.EOF.
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

// ErrDamaged says that a file is not what was written.
var ErrDamaged = errors.New("damaged: its checksum is another one")

// Verify compares a file with its checksum, of which a beginning is enough.
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
		return fmt.Errorf("%s is %w (%.16s, not %.16s)", path, ErrDamaged, found, checksum)
	}
	return nil
}
