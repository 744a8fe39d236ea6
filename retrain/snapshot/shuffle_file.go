package snapshot

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/cespare/xxhash/v2"

	"genrec/pkg/history"
)

// row is a row beside the place of its user in the order of all users.
type row struct {
	history.Row
	hash uint64
}

func newRow(r history.Row) row { return row{r, xxhash.Sum64String(r.User)} }

// shuffleFile is a file of rows in the order of their arrival, of users whose hashes begin alike.
type shuffleFile struct {
	path string // until it is removed
	rows int64
	file *os.File // while rows are added
	out  *bufio.Writer
}

// shuffleFiles divide rows by some bits of their users' hash, behind those that are divided
// already.
type shuffleFiles struct {
	all   []*shuffleFile
	shift int
	buf   []byte
}

const shuffleBuffer = 16 << 10 // bytes

func newShuffleFiles(dir string, bits, divided int) (*shuffleFiles, error) {
	s := &shuffleFiles{all: make([]*shuffleFile, 1<<bits), shift: 64 - divided - bits}
	for i := range s.all {
		path := filepath.Join(dir, fmt.Sprintf("spool-%02d-%04d", divided, i))
		file, err := os.Create(path)
		if err != nil {
			return nil, errors.Join(err, s.remove())
		}
		s.all[i] = &shuffleFile{path: path, file: file, out: bufio.NewWriterSize(file, shuffleBuffer)}
	}
	return s, nil
}

// add writes a row: its time, the lengths of its texts, and the texts.
func (s *shuffleFiles) add(r row) error {
	b := binary.AppendVarint(s.buf[:0], r.Time)
	for _, text := range r.texts() {
		b = binary.AppendUvarint(b, uint64(len(*text)))
	}
	for _, text := range r.texts() {
		b = append(b, *text...)
	}
	s.buf = b
	into := s.all[(r.hash>>s.shift)%uint64(len(s.all))]
	into.rows++
	_, err := into.out.Write(b)
	return err
}

func (r *row) texts() [4]*string { return [4]*string{&r.User, &r.ID, &r.Item, &r.Type} }

// flush ends the adding.
func (s *shuffleFiles) flush() error {
	for _, one := range s.all {
		if err := errors.Join(one.out.Flush(), one.file.Close()); err != nil {
			return err
		}
		one.file, one.out = nil, nil
	}
	return nil
}

// remove removes what read has not.
func (s *shuffleFiles) remove() (err error) {
	for _, one := range s.all {
		if one != nil && one.path != "" {
			err = errors.Join(err, one.remove())
		}
	}
	return err
}

func (s *shuffleFile) remove() (err error) {
	if s.file != nil {
		err = s.file.Close()
	}
	err = errors.Join(err, os.Remove(s.path))
	s.path, s.file, s.out = "", nil, nil
	return err
}

// read calls each with the rows, and removes the file.
func (s *shuffleFile) read(each func(row) error) (err error) {
	defer func() { err = errors.Join(err, s.remove()) }()
	file, err := os.Open(s.path)
	if err != nil {
		return err
	}
	defer file.Close()
	in := bufio.NewReaderSize(file, 4*shuffleBuffer)
	var buf []byte
	for range s.rows {
		r, err := readRow(in, &buf)
		if err != nil {
			return fmt.Errorf("read %s: %w", s.path, err)
		}
		if err := each(r); err != nil {
			return err
		}
	}
	return nil
}

// readRow reads what add has written. The texts of a row share one allocation.
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
	for i, text := range r.texts() {
		*text, all = all[:lengths[i]], all[lengths[i]:]
	}
	r.hash = xxhash.Sum64String(r.User)
	return r, nil
}

func unlessEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
