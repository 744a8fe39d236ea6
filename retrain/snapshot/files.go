package snapshot

import (
	"errors"
	"fmt"
	"path/filepath"

	"genrec/pkg/history"
)

// rowGroup is how many rows of a file are held in memory while they are written.
const rowGroup = 1 << 16

// files are those that rows go into, one after the other.
type files struct {
	dir, name string
	limit     int64 // rows of one, but no user is divided
	current   *history.Writer
	done      []history.File
}

func newFiles(dir, name string, limit int64) *files {
	return &files{dir: dir, name: name, limit: limit}
}

// write adds the rows of a user.
func (f *files) write(rows []row) (err error) {
	if len(rows) == 0 {
		return nil
	}
	if f.current == nil {
		path := filepath.Join(f.dir, fmt.Sprintf("%s-%05d.parquet", f.name, len(f.done)))
		if f.current, err = history.Create(path, rowGroup); err != nil {
			return err
		}
	}
	for _, r := range rows {
		if err := f.current.Write(r.Row); err != nil {
			return err
		}
	}
	if f.current.Rows() < f.limit {
		return nil
	}
	return f.endFile()
}

func (f *files) endFile() error {
	done, err := f.current.Close()
	f.current = nil
	f.done = append(f.done, done)
	return err
}

// end returns what was written.
func (f *files) end() ([]history.File, error) {
	if f.current != nil {
		if err := f.endFile(); err != nil {
			return nil, err
		}
	}
	return f.done, nil
}

// discard closes what end did not.
func (f *files) discard() error {
	if f.current == nil {
		return nil
	}
	return f.current.Discard()
}

// sorted reads the rows of a snapshot, which are in the order of users.
type sorted struct {
	snapshot *Snapshot
	file     int
	rows     *history.Reader[history.Row]
	ahead    *row // read, but of a later user
}

// upTo appends the rows of all users whose hash is at most so large.
func (s *sorted) upTo(rows []row, last uint64) ([]row, error) {
	for {
		if s.ahead == nil {
			next, err := s.next()
			if err != nil || next == nil {
				return rows, err
			}
			s.ahead = next
		}
		if s.ahead.hash > last {
			return rows, nil
		}
		rows = append(rows, *s.ahead)
		s.ahead = nil
	}
}

// next returns nil behind the last row.
func (s *sorted) next() (*row, error) {
	for {
		if s.rows == nil {
			if s.file == len(s.snapshot.Files) {
				return nil, nil
			}
			var err error
			if s.rows, err = openFile(s.snapshot.Dir, s.snapshot.Files[s.file]); err != nil {
				return nil, err
			}
			s.file++
		}
		next, err := s.rows.Next()
		if err == nil {
			r := newRow(next)
			return &r, nil
		}
		if err := errors.Join(unlessEnd(err), s.close()); err != nil {
			return nil, err
		}
	}
}

func (s *sorted) close() error {
	if s.rows == nil {
		return nil
	}
	err := s.rows.Close()
	s.rows = nil
	return err
}

func openFile(dir string, file history.File) (*history.Reader[history.Row], error) {
	path := filepath.Join(dir, file.Name)
	if err := history.Verify(path, file.SHA256); err != nil {
		return nil, err
	}
	return history.Open[history.Row](path)
}
