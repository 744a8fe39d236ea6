// Package history keeps what users did, beyond what is kept of them in Redis, as Parquet
// files in a folder:
//
//	FOLDER/segments/PARTITION-OFFSET-CHECKSUM.parquet   as it arrived, from an offset on
//	FOLDER/snapshots/...                                all of it up to a time, by user
//
// A segment is immutable. Its name is that of its contents, so that one that is written
// again, after a kill, takes the place of the same one and of no other. Events may be in
// several segments: who reads them tells them apart by their ids.
package history

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"genrec/pkg/durable"
)

const (
	segmentsFolder  = "segments"
	snapshotsFolder = "snapshots"
	draftPrefix     = ".draft-"
	nameSum         = 16 // characters of a checksum in a name
)

// Archive is a folder of segments. It is safe for concurrent use, also by several
// processes.
type Dir struct{ root string }

// OpenDir makes the folder where it is missing.
func OpenDir(root string) (*Dir, error) {
	a := &Dir{root: root}
	for _, folder := range []string{a.segments(), a.Snapshots()} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return nil, fmt.Errorf("open the history %s: %w", root, err)
		}
	}
	return a, nil
}

// Snapshots is the folder for the snapshots that segments go into.
func (a *Dir) Snapshots() string { return filepath.Join(a.root, snapshotsFolder) }

func (a *Dir) segments() string { return filepath.Join(a.root, segmentsFolder) }

// Segment is a file of rows from one partition, in the order of their offsets.
type Segment struct {
	Path      string
	partition int
	offset    int64 // of the first message
	checksum  string
}

var segmentName = regexp.MustCompile(`^([0-9]{5})-([0-9]{20})-([0-9a-f]{16})\.parquet$`)

// Segments lists them by partition and offset.
func (a *Dir) Segments() ([]Segment, error) {
	entries, err := os.ReadDir(a.segments())
	if err != nil {
		return nil, fmt.Errorf("list the segments of the history: %w", err)
	}
	var found []Segment
	for _, entry := range entries {
		part := segmentName.FindStringSubmatch(entry.Name())
		if part == nil {
			if strings.HasPrefix(entry.Name(), draftPrefix) {
				continue
			}
			return nil, fmt.Errorf("list the segments of the history: %s is none: move it elsewhere", filepath.Join(a.segments(), entry.Name()))
		}
		s := Segment{Path: filepath.Join(a.segments(), entry.Name()), checksum: part[3]}
		if s.partition, err = strconv.Atoi(part[1]); err == nil {
			s.offset, err = strconv.ParseInt(part[2], 10, 64)
		}
		if err != nil {
			return nil, fmt.Errorf("list the segments of the history: %s: %w", s.Path, err)
		}
		found = append(found, s)
	}
	slices.SortFunc(found, func(a, b Segment) int {
		return cmp.Or(cmp.Compare(a.partition, b.partition), cmp.Compare(a.offset, b.offset), cmp.Compare(a.checksum, b.checksum))
	})
	return found, nil
}

// Open verifies the segment and opens it.
func (s Segment) Open() (*Reader[Row], error) {
	if err := Verify(s.Path, s.checksum); err != nil {
		return nil, err
	}
	return Open[Row](s.Path)
}

// Remove removes segments that are kept elsewhere by now.
func (a *Dir) Remove(segments []Segment) error {
	for _, s := range segments {
		if err := os.Remove(s.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove a segment of the history: %w", err)
		}
	}
	return durable.Sync(a.segments())
}

// abandoned is how old the drafts are that no living process can be writing.
const abandoned = 24 * time.Hour

// RemoveAbandoned removes the drafts that processes left which were killed.
func (a *Dir) RemoveAbandoned() error {
	drafts, err := filepath.Glob(filepath.Join(a.segments(), draftPrefix+"*"))
	if err != nil {
		return fmt.Errorf("look for abandoned segments: %w", err)
	}
	for _, path := range drafts {
		info, err := os.Stat(path)
		if err == nil && time.Since(info.ModTime()) > abandoned {
			err = os.Remove(path)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove an abandoned segment: %w", err)
		}
	}
	return nil
}
