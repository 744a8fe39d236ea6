package history

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"genrec/pkg/durable"
	"genrec/pkg/event"
)

// segmentGroup is how many rows a segment that is being written holds in memory. Ids and
// types have at most 780 bytes together, most often less than 100.
const segmentGroup = 8192

// Draft is a segment that is being written, invisible until Publish.
type SegmentWriter struct {
	archive   *Dir
	partition int
	offset    int64
	writer    *Writer
}

// ImportPartition stands for the partition where events come from a file; a row of it is the offset.
const ImportPartition = 99_999

// Draft begins a segment of the messages of a partition from an offset on.
func (a *Dir) NewSegment(partition int, offset int64) (*SegmentWriter, error) {
	file, err := os.CreateTemp(a.segments(), draftPrefix) // a name that no other process has
	if err == nil {
		err = errors.Join(file.Chmod(0o644), file.Close())
	}
	var writer *Writer
	if err == nil {
		writer, err = Create(file.Name(), segmentGroup)
	}
	if err != nil {
		return nil, fmt.Errorf("create a history segment: %w", err)
	}
	return &SegmentWriter{archive: a, partition: partition, offset: offset, writer: writer}, nil
}

// Add writes an event.
func (d *SegmentWriter) Add(e event.Event) error {
	return d.writer.Write(RowOf(e))
}

// Events is how many were written.
func (d *SegmentWriter) Events() int64 { return d.writer.Rows() }

// Publish gives the segment its name; it is on the disk then.
func (d *SegmentWriter) Publish() error {
	draft := d.writer.file.Name()
	file, err := d.writer.Close()
	if err == nil {
		name := fmt.Sprintf("%05d-%020d-%s.parquet", d.partition, d.offset, file.SHA256[:nameSum])
		err = durable.Rename(draft, filepath.Join(d.archive.segments(), name))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("publish a segment of the history: %w", err), removeIfThere(draft))
	}
	return nil
}

// Discard removes the draft in place of publishing it.
func (d *SegmentWriter) Discard() error {
	if err := d.writer.Discard(); err != nil {
		return fmt.Errorf("discard a segment of the history: %w", err)
	}
	return nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
