package importer

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"genrec/pkg/event"
)

// maxRow bounds a row in bytes: as long as the largest event that Kafka would take.
const maxRow = 1 << 20

// maxWindow bounds what a compressed file can make its reader hold.
const maxWindow = 64 << 20

// row is a row of a file as an event in JSON, or what is wrong with it.
type row struct {
	number int64  // from 1: the line, or in Parquet the row
	within string // the place in the line, if it has several rows
	more   bool   // the line has further rows
	value  []byte
	event  *event.Event // of value, if it is decoded already
	time   string       // as the file writes it, if value has it in another form
	err    error        // of this row alone
}

var (
	// errEmpty is of a file with nothing in it, as Spark writes one for an empty partition.
	errEmpty    = errors.New("the file is empty")
	errNoHeader = fmt.Errorf("line 1: the column names are missing: %w", errEmpty)
)

// rows reads a file row by row. Its error is io.EOF at the end, and else ends the file.
type rows interface {
	next() (row, error)
}

// file is a file that is being read.
type file struct {
	rows
	reading reading
	size    int64
	read    atomic.Int64 // bytes of it
	close   []func() error
}

// openFile opens a file of a format, and tells its compression by the name.
func openFile(path string, r reading) (_ *file, err error) {
	f := &file{}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	opened, err := os.Open(path)
	if err != nil {
		return f, err
	}
	f.close = append(f.close, opened.Close)
	info, err := opened.Stat()
	if err != nil {
		return f, err
	}
	f.size = info.Size()
	r.format = cmp.Or(r.format, Auto)
	f.reading = r

	name := strings.ToLower(filepath.Base(path))
	var text io.Reader = &counted{opened, &f.read}
	switch ext := filepath.Ext(name); {
	case f.size == 0 && (ext == ".gz" || ext == ".zst"):
		return f, fmt.Errorf("%s: %w", path, errEmpty)
	case ext == ".gz":
		unzipped, err := gzip.NewReader(text)
		if err != nil {
			return f, fmt.Errorf("%s: %w", path, err)
		}
		text, name = unzipped, strings.TrimSuffix(name, ".gz")
	case ext == ".zst":
		unzipped, err := zstd.NewReader(text, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return f, fmt.Errorf("%s: %w", path, err)
		}
		f.close = append(f.close, func() error { unzipped.Close(); return nil })
		text, name = unzipped, strings.TrimSuffix(name, ".zst")
	}
	switch isParquet := filepath.Ext(name) == ".parquet" || hasMagic(opened); {
	case isParquet && name != strings.ToLower(filepath.Base(path)):
		err = errors.New("a Parquet file is compressed inside and cannot be read from within another compression: unpack it first")
	case isParquet && r.format != Auto && r.format != Events:
		err = fmt.Errorf("--format %s has no Parquet files", r.format)
	case isParquet:
		f.rows, err = newParquet(readerAt{opened, &f.read}, info.Size(), r)
	default:
		f.rows, err = newText(text, name, r)
	}
	if err != nil {
		return f, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// hasMagic reports whether a file begins as Parquet does: Hive's parts have no extension.
func hasMagic(in io.ReaderAt) bool {
	var magic [4]byte
	_, err := in.ReadAt(magic[:], 0)
	return err == nil && string(magic[:]) == "PAR1"
}

// Close closes what the file holds open.
func (f *file) Close() error {
	var errs []error
	for i := len(f.close) - 1; i >= 0; i-- {
		errs = append(errs, f.close[i]())
	}
	f.close = nil
	return errors.Join(errs...)
}

// counted counts what is read.
type counted struct {
	io.Reader
	n *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

type readerAt struct {
	io.ReaderAt
	n *atomic.Int64
}

func (r readerAt) ReadAt(p []byte, offset int64) (int, error) {
	n, err := r.ReaderAt.ReadAt(p, offset)
	r.n.Add(int64(n))
	return n, err
}
