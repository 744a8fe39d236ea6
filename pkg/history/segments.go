// Package history stores all interactions, beyond the newest ones in Redis, as Parquet files in a
// directory:
//
//	DIR/segments/PARTITION-OFFSET-CHECKSUM.parquet   events of a partition, from an offset on
//	DIR/snapshots/...                                all events up to a time, by user
//
// Segments are written while events arrive, and are merged into snapshots by package snapshot. A
// segment is immutable. It is written to a temporary file, synced, and then renamed to a name with
// the checksum of its content: writing the same segment again, after a crash, replaces it by
// itself, and a segment with other content gets another name. An event can be in several segments;
// readers deduplicate by event id.
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
	"genrec/pkg/event"
)

const (
	segmentsFolder  = "segments"
	snapshotsFolder = "snapshots"
	tempPrefix      = ".draft-"
	nameSum         = 16 // hex digits of the checksum in a segment's name
)

// ImportPartition is the partition number of segments with events from files. Their offset is a row
// number.
const ImportPartition = 99_999

// Dir is a history directory. It is safe for concurrent use, also by several processes.
type Dir struct{ root string }

// OpenDir opens a history directory, and creates it if it does not exist.
func OpenDir(root string) (*Dir, error) {
	d := &Dir{root: root}
	for _, folder := range []string{d.segments(), d.Snapshots()} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return nil, fmt.Errorf("open the history %s: %w", root, err)
		}
	}
	return d, nil
}

// Snapshots returns the path of the folder for snapshots.
func (d *Dir) Snapshots() string { return filepath.Join(d.root, snapshotsFolder) }

func (d *Dir) segments() string { return filepath.Join(d.root, segmentsFolder) }

// Segment is a published file of events of one partition, ordered by offset.
type Segment struct {
	Path      string // of the file
	partition int
	offset    int64  // of the first message
	checksum  string // first nameSum hex digits of the SHA-256
}

var segmentName = regexp.MustCompile(`^([0-9]{5})-([0-9]{20})-([0-9a-f]{16})\.parquet$`)

// Segments lists the segments by partition and offset.
func (d *Dir) Segments() ([]Segment, error) {
	entries, err := os.ReadDir(d.segments())
	if err != nil {
		return nil, fmt.Errorf("list history segments: %w", err)
	}
	var found []Segment
	for _, entry := range entries {
		parts := segmentName.FindStringSubmatch(entry.Name())
		if parts == nil {
			if strings.HasPrefix(entry.Name(), tempPrefix) {
				continue
			}
			return nil, fmt.Errorf("list history segments: %s is not a segment: move it elsewhere", filepath.Join(d.segments(), entry.Name()))
		}
		s := Segment{Path: filepath.Join(d.segments(), entry.Name()), checksum: parts[3]}
		if s.partition, err = strconv.Atoi(parts[1]); err == nil {
			s.offset, err = strconv.ParseInt(parts[2], 10, 64)
		}
		if err != nil {
			return nil, fmt.Errorf("list history segments: %s: %w", s.Path, err)
		}
		found = append(found, s)
	}
	slices.SortFunc(found, func(a, b Segment) int {
		return cmp.Or(cmp.Compare(a.partition, b.partition), cmp.Compare(a.offset, b.offset), cmp.Compare(a.checksum, b.checksum))
	})
	return found, nil
}

// Open verifies the checksum of the segment and opens it.
func (s Segment) Open() (*Reader[Row], error) {
	if err := Verify(s.Path, s.checksum); err != nil {
		return nil, err
	}
	return Open[Row](s.Path)
}

// Remove removes segments whose events are in a snapshot. Segments that do not exist are skipped.
func (d *Dir) Remove(segments []Segment) error {
	for _, s := range segments {
		if err := os.Remove(s.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove a history segment: %w", err)
		}
	}
	return durable.Sync(d.segments())
}

// abandonedAge is the age from which a temporary file cannot belong to a running process.
const abandonedAge = 24 * time.Hour

// RemoveAbandoned removes the temporary files of killed processes.
func (d *Dir) RemoveAbandoned() error {
	paths, err := filepath.Glob(filepath.Join(d.segments(), tempPrefix+"*"))
	if err != nil {
		return fmt.Errorf("list temporary files of the history: %w", err)
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err == nil && time.Since(info.ModTime()) > abandonedAge {
			err = os.Remove(path)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove a temporary file of the history: %w", err)
		}
	}
	return nil
}

// segmentRowGroup is the number of rows in a row group of a segment, which its writer holds in
// memory. The ids and the type of an event have at most 780 bytes, usually less than 100.
const segmentRowGroup = 8192

// SegmentWriter writes a segment, which is invisible until Publish.
type SegmentWriter struct {
	dir       *Dir
	partition int
	offset    int64
	writer    *Writer
}

// NewSegment creates a segment of the messages of a partition from an offset on. The caller must
// call Publish or Discard.
func (d *Dir) NewSegment(partition int, offset int64) (*SegmentWriter, error) {
	file, err := os.CreateTemp(d.segments(), tempPrefix) // a name that no other process uses
	if err == nil {
		err = errors.Join(file.Chmod(0o644), file.Close())
	}
	var writer *Writer
	if err == nil {
		writer, err = Create(file.Name(), segmentRowGroup)
	}
	if err != nil {
		return nil, fmt.Errorf("create a history segment: %w", err)
	}
	return &SegmentWriter{dir: d, partition: partition, offset: offset, writer: writer}, nil
}

// Add writes an event.
func (w *SegmentWriter) Add(e event.Event) error {
	return w.writer.Write(RowOf(e))
}

// Events returns the number of events written so far.
func (w *SegmentWriter) Events() int64 { return w.writer.Rows() }

// Publish completes the segment and makes it visible. It is durable when Publish returns.
func (w *SegmentWriter) Publish() error {
	temp := w.writer.file.Name()
	file, err := w.writer.Close()
	if err == nil {
		name := fmt.Sprintf("%05d-%020d-%s.parquet", w.partition, w.offset, file.SHA256[:nameSum])
		err = durable.Rename(temp, filepath.Join(w.dir.segments(), name))
	}
	if err != nil {
		err = fmt.Errorf("publish a history segment: %w", err)
		if removeErr := os.Remove(temp); !errors.Is(removeErr, fs.ErrNotExist) {
			err = errors.Join(err, removeErr)
		}
	}
	return err
}

// Discard removes the segment instead of publishing it.
func (w *SegmentWriter) Discard() error {
	if err := w.writer.Discard(); err != nil {
		return fmt.Errorf("discard a history segment: %w", err)
	}
	return nil
}
