package importer

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"genrec/pkg/event"
)

// input is a file to import.
type input struct {
	path       string
	partitions []partitionColumn
}

// listFiles lists the files, and those in folders as Spark, Hive and DuckDB write tables, ordered
// by name. In folders, files whose names begin with _ or . are metadata and skipped.
func listFiles(paths []string) (files []input, err error) {
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			files = append(files, input{path: path})
			continue
		}
		before, root := len(files), path+string(filepath.Separator) // the separator follows a link to a folder
		err = filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
			switch hidden := strings.HasPrefix(entry.Name(), "_") || strings.HasPrefix(entry.Name(), "."); {
			case err != nil:
				return err
			case file == root:
				return nil
			case hidden && entry.IsDir():
				return fs.SkipDir
			case hidden || entry.IsDir():
				return nil
			}
			info, err := os.Stat(file) // follows links
			if err != nil {
				return err
			}
			if info.IsDir() {
				return fmt.Errorf("%s is a link to a folder: import the folder itself", file)
			}
			files = append(files, input{file, partitionColumns(path, file)})
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("list the files of %s: %w", path, err)
		}
		if len(files) == before {
			return nil, fmt.Errorf("the folder %s has no files, apart from those whose names begin with _ or a dot", path)
		}
	}
	return files, nil
}

// partitionColumn is a column whose value is in the name of a folder, such as type=click, as Hive
// and Spark write it.
type partitionColumn struct{ name, value string }

// partitionColumns returns the columns in the names of the folders between root and file.
func partitionColumns(root, file string) (all []partitionColumn) {
	folder, _ := filepath.Rel(root, filepath.Dir(file)) // cannot fail: file is below root
	for part := range strings.SplitSeq(filepath.ToSlash(folder), "/") {
		name, value, ok := strings.Cut(part, "=")
		if !ok {
			continue
		}
		if plain, err := url.PathUnescape(value); err == nil {
			value = plain
		}
		if value == "__HIVE_DEFAULT_PARTITION__" { // NULL
			value = ""
		}
		all = append(all, partitionColumn{name, value})
	}
	return all
}

// maxWindow bounds the memory that a compressed file can require.
const maxWindow = 64 << 20

// fileOptions are the options for reading a file.
type fileOptions struct {
	Mapping
	format     Format
	limits     event.Limits
	partitions []partitionColumn
}

// file is an open file.
type file struct {
	rowReader
	options fileOptions
	size    int64        // bytes
	read    atomic.Int64 // bytes read so far
	closers []func() error
}

// openFile opens a file. Its extension determines the compression.
func openFile(path string, options fileOptions) (_ *file, err error) {
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
	f.closers = append(f.closers, opened.Close)
	info, err := opened.Stat()
	if err != nil {
		return f, err
	}
	f.size = info.Size()
	options.format = cmp.Or(options.format, Auto)
	f.options = options

	name := strings.ToLower(filepath.Base(path))
	var text io.Reader = &countingReader{opened, &f.read}
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
		f.closers = append(f.closers, func() error { unzipped.Close(); return nil })
		text, name = unzipped, strings.TrimSuffix(name, ".zst")
	}
	switch isParquet := filepath.Ext(name) == ".parquet" || hasParquetMagic(opened); {
	case isParquet && name != strings.ToLower(filepath.Base(path)):
		err = errors.New("compressed Parquet files cannot be read (Parquet has its own compression): unpack it first")
	case isParquet && options.format != Auto && options.format != Events:
		err = fmt.Errorf("--format %s has no Parquet files", options.format)
	case isParquet:
		f.rowReader, err = newParquetReader(countingReaderAt{opened, &f.read}, info.Size(), options)
	default:
		f.rowReader, err = newTextReader(text, name, options)
	}
	if err != nil {
		return f, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// hasParquetMagic reports whether a file begins like Parquet: Hive's files have no extension.
func hasParquetMagic(in io.ReaderAt) bool {
	var magic [4]byte
	_, err := in.ReadAt(magic[:], 0)
	return err == nil && string(magic[:]) == "PAR1"
}

// Close closes the file and its decompressor.
func (f *file) Close() error {
	var errs []error
	for i := len(f.closers) - 1; i >= 0; i-- {
		errs = append(errs, f.closers[i]())
	}
	f.closers = nil
	return errors.Join(errs...)
}

// countingReader counts the bytes that are read.
type countingReader struct {
	io.Reader
	n *atomic.Int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// countingReaderAt counts the bytes that are read.
type countingReaderAt struct {
	io.ReaderAt
	n *atomic.Int64
}

func (r countingReaderAt) ReadAt(p []byte, offset int64) (int, error) {
	n, err := r.ReaderAt.ReadAt(p, offset)
	r.n.Add(int64(n))
	return n, err
}
