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

// end is the place behind every row.
const end = math.MaxInt64

// Place remembers in a file of its own how far files are imported.
type Place struct {
	path  string
	files map[string]reached
	saved time.Time
}

// reached is how far a file is imported. One of another size is another file.
type reached struct {
	Size int64 `json:"size"`
	Row  int64 `json:"row"`
	// History says that all events up to there are in the history, too.
	History bool `json:"history,omitempty"`
}

// OpenPlace reads the place that an earlier run left, if any.
func OpenPlace(path string) (*Place, error) {
	p := &Place{path: path, files: make(map[string]reached)}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &p.files)
	}
	if err != nil {
		return nil, fmt.Errorf("read how far the import was from %s: %w", path, err)
	}
	return p, nil
}

// of is how far a file is done, with the history or without.
func (p *Place) of(file string, size int64, history bool) int64 {
	if p == nil || p.files[file].Size != size || history && !p.files[file].History {
		return 0
	}
	return p.files[file].Row
}

// reach saves a place now and then: what is imported again after a kill does no harm.
func (p *Place) reach(file string, size, row int64) error {
	const saveEvery = time.Second
	if p == nil || time.Since(p.saved) < saveEvery || row <= p.of(file, size, false) {
		return nil
	}
	return p.set(file, size, row, false)
}

func (p *Place) set(file string, size, row int64, history bool) error {
	if p == nil {
		return nil
	}
	p.files[file] = reached{Size: size, Row: row, History: history}
	p.saved = time.Now()
	text, err := json.Marshal(p.files)
	if err == nil {
		next := filepath.Join(filepath.Dir(p.path), "."+filepath.Base(p.path)+".new")
		if err = os.WriteFile(next, text, 0o600); err == nil {
			err = os.Rename(next, p.path)
		}
	}
	if err != nil {
		return fmt.Errorf("save how far the import is in %s: %w", p.path, err)
	}
	return nil
}
