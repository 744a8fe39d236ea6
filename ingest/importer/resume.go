package importer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"
)

// endOfFile is a row number after every row.
const endOfFile = math.MaxInt64

// ResumeFile stores how far files are imported, so that the next run can skip what is done. The
// methods of a nil ResumeFile do nothing.
type ResumeFile struct {
	path  string
	files map[string]fileProgress
	saved time.Time
}

// fileProgress is how far a file is imported. A file of another size is another file.
type fileProgress struct {
	Size int64 `json:"size"` // of the file in bytes
	Row  int64 `json:"row"`  // rows up to this number are imported
	// History is set if they are in the history, too.
	History bool `json:"history,omitempty"`
}

// OpenResumeFile reads the file that an earlier run left, if it exists.
func OpenResumeFile(path string) (*ResumeFile, error) {
	f := &ResumeFile{path: path, files: make(map[string]fileProgress)}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &f.files)
	}
	if err != nil {
		return nil, fmt.Errorf("read the resume file %s: %w", path, err)
	}
	return f, nil
}

// row returns the row up to which a file is imported, and written to the history if that is set.
func (f *ResumeFile) row(file string, size int64, history bool) int64 {
	if f == nil || f.files[file].Size != size || history && !f.files[file].History {
		return 0
	}
	return f.files[file].Row
}

// advance saves the row up to which a file is imported, at most once a second: importing rows
// again is harmless.
func (f *ResumeFile) advance(file string, size, row int64) error {
	const saveInterval = time.Second
	if f == nil || time.Since(f.saved) < saveInterval || row <= f.row(file, size, false) {
		return nil
	}
	return f.set(file, size, row, false)
}

// set saves the row up to which a file is imported.
func (f *ResumeFile) set(file string, size, row int64, history bool) error {
	if f == nil {
		return nil
	}
	f.files[file] = fileProgress{Size: size, Row: row, History: history}
	f.saved = time.Now()
	text, err := json.Marshal(f.files)
	if err == nil {
		next := filepath.Join(filepath.Dir(f.path), "."+filepath.Base(f.path)+".new")
		if err = os.WriteFile(next, text, 0o600); err == nil {
			err = os.Rename(next, f.path)
		}
	}
	if err != nil {
		return fmt.Errorf("write the resume file %s: %w", f.path, err)
	}
	return nil
}
