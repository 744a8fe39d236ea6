package snapshot

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/cespare/xxhash/v2"

	"genrec/pkg/history"
	"genrec/sessions"
)

// row is an event with the hash of its user, which defines the order of users.
type row struct {
	history.Row
	hash uint64
}

func newRow(r history.Row) row { return row{r, xxhash.Sum64String(r.User)} }

// strings returns the row's string fields in the order of a shuffle file.
func (r *row) strings() [4]*string { return [4]*string{&r.User, &r.ID, &r.Item, &r.Type} }

// partition writes all new events to shuffle files, in order of arrival: the later events of the previous
// snapshot, the segments, and the sequences in Redis.
func (b *builder) partition(ctx context.Context, segments []history.Segment) (*shuffleFiles, error) {
	s, err := newShuffleFiles(b.dir, b.limits.fanOut, 0)
	if err != nil {
		return nil, err
	}
	if err := b.addSources(ctx, s, segments); err != nil {
		return nil, errors.Join(err, s.remove())
	}
	return s, nil
}

func (b *builder) addSources(ctx context.Context, s *shuffleFiles, segments []history.Segment) error {
	add := func(r history.Row) error { return s.add(newRow(r)) }
	if b.previous != nil {
		for _, file := range b.previous.Later {
			rows, err := openFile[history.Row](b.previous.Dir, file)
			if err == nil {
				err = forEachRow(ctx, rows, add)
			}
			if err != nil {
				return err
			}
		}
	}
	for _, segment := range segments {
		rows, err := segment.Open()
		if err == nil {
			err = forEachRow(ctx, rows, add)
		}
		if err != nil {
			return err
		}
	}
	if b.Sequences != nil {
		var err error
		if b.skipped, err = b.Sequences.Walk(ctx, func(sequence sessions.Sequence) error {
			for _, i := range sequence.Interactions {
				if err := add(history.Row{ID: i.EventID, User: sequence.User, Item: i.Item, Time: i.Time.UnixMilli(), Type: i.Type}); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return fmt.Errorf("read the sequences of all users: %w", err)
		}
	}
	return s.close()
}

// shuffleFile is a temporary file of rows in order of arrival, whose user hashes have a common prefix.
type shuffleFile struct {
	path string // empty once the file is removed
	rows int64
	file *os.File // nil once the file is written
	out  *bufio.Writer
}

// shuffleFiles partitions rows by some bits of the user hash, those after the first prefixBits.
type shuffleFiles struct {
	files []*shuffleFile // by the value of these bits
	shift int            // position of these bits in the hash
	buf   []byte
}

const shuffleBuffer = 16 << 10 // bytes per file

func newShuffleFiles(dir string, bits, prefixBits int) (*shuffleFiles, error) {
	s := &shuffleFiles{files: make([]*shuffleFile, 1<<bits), shift: hashBits - prefixBits - bits}
	for i := range s.files {
		path := filepath.Join(dir, fmt.Sprintf("shuffle-%02d-%04d", prefixBits, i))
		file, err := os.Create(path)
		if err != nil {
			return nil, errors.Join(err, s.remove())
		}
		s.files[i] = &shuffleFile{path: path, file: file, out: bufio.NewWriterSize(file, shuffleBuffer)}
	}
	return s, nil
}

// add writes a row to the file of its user: the time, the lengths of the strings, and the strings.
func (s *shuffleFiles) add(r row) error {
	buf := binary.AppendVarint(s.buf[:0], r.Time)
	for _, text := range r.strings() {
		buf = binary.AppendUvarint(buf, uint64(len(*text)))
	}
	for _, text := range r.strings() {
		buf = append(buf, *text...)
	}
	s.buf = buf
	file := s.files[(r.hash>>s.shift)%uint64(len(s.files))]
	file.rows++
	_, err := file.out.Write(buf)
	return err
}

// close flushes and closes the files after the last add.
func (s *shuffleFiles) close() error {
	for _, f := range s.files {
		if err := errors.Join(f.out.Flush(), f.file.Close()); err != nil {
			return err
		}
		f.file, f.out = nil, nil
	}
	return nil
}

// remove removes the files that were not read.
func (s *shuffleFiles) remove() (err error) {
	for _, f := range s.files {
		if f != nil && f.path != "" {
			err = errors.Join(err, f.remove())
		}
	}
	return err
}

func (f *shuffleFile) remove() (err error) {
	if f.file != nil {
		err = f.file.Close()
	}
	err = errors.Join(err, os.Remove(f.path))
	f.path, f.file, f.out = "", nil, nil
	return err
}

// read calls fn with every row and removes the file.
func (f *shuffleFile) read(fn func(row) error) (err error) {
	defer func() { err = errors.Join(err, f.remove()) }()
	file, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer file.Close()
	in := bufio.NewReaderSize(file, 4*shuffleBuffer)
	var buf []byte
	for range f.rows {
		r, err := readRow(in, &buf)
		if err != nil {
			return fmt.Errorf("read %s: %w", f.path, err)
		}
		if err := fn(r); err != nil {
			return err
		}
	}
	return nil
}

// readRow decodes a row that add wrote. The strings of a row share one allocation.
func readRow(in *bufio.Reader, buf *[]byte) (r row, err error) {
	if r.Time, err = binary.ReadVarint(in); err != nil {
		return r, err
	}
	var lengths [4]int
	total := 0
	for i := range lengths {
		n, err := binary.ReadUvarint(in)
		if err != nil {
			return r, err
		}
		lengths[i] = int(n)
		total += lengths[i]
	}
	if cap(*buf) < total {
		*buf = make([]byte, total)
	}
	if _, err := io.ReadFull(in, (*buf)[:total]); err != nil {
		return r, err
	}
	all := string((*buf)[:total])
	for i, text := range r.strings() {
		*text, all = all[:lengths[i]], all[lengths[i]:]
	}
	r.hash = xxhash.Sum64String(r.User)
	return r, nil
}
