package history

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"genrec/pkg/event"
)

func openTestDir(t *testing.T) *Dir {
	t.Helper()
	a, err := OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func events(from, to int) (all []event.Event) {
	for n := from; n < to; n++ {
		all = append(all, event.Event{
			ID: fmt.Sprint("e", n), User: fmt.Sprint("u", n%7), Item: fmt.Sprint("i", n%11),
			Type: []string{"view", "purchase"}[n%2], Time: time.UnixMilli(1_700_000_000_000 + int64(n)).UTC(),
		})
	}
	return all
}

func publish(t *testing.T, a *Dir, partition int, offset int64, all []event.Event) {
	t.Helper()
	d, err := a.NewSegment(partition, offset)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if err := d.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Publish(); err != nil {
		t.Fatal(err)
	}
}

func segments(t *testing.T, a *Dir) []Segment {
	t.Helper()
	found, err := a.Segments()
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func read(t *testing.T, s Segment) (all []event.Event) {
	t.Helper()
	r, err := s.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, event.Event{ID: row.ID, User: row.User, Item: row.Item, Type: row.Type, Time: time.UnixMilli(row.Time).UTC()})
	}
}

func same(a, b []event.Event) bool {
	return slices.EqualFunc(a, b, func(a, b event.Event) bool { return fmt.Sprint(a) == fmt.Sprint(b) })
}

// Rows must stay valid while later ones are read.
func TestSegmentsContainWrittenEvents(t *testing.T) {
	a, many := openTestDir(t), events(0, 3*segmentRowGroup+1)
	publish(t, a, 1, 0, events(5, 6))
	publish(t, a, 0, 100, events(0, 5))
	publish(t, a, 0, 20, many)
	found := segments(t, a)
	if len(found) != 3 {
		t.Fatalf("there are %d segments, want 3", len(found))
	}
	for i, want := range [][]event.Event{many, events(0, 5), events(5, 6)} { // by partition and offset
		if got := read(t, found[i]); !same(got, want) {
			t.Errorf("segment %d, %s, holds %d events, want the %d that were written, in their order", i, found[i].Path, len(got), len(want))
		}
	}
}

func TestRepeatedSegment(t *testing.T) {
	a := openTestDir(t)
	publish(t, a, 0, 7, events(0, 9))
	publish(t, a, 0, 7, events(0, 9))
	if found := segments(t, a); len(found) != 1 {
		t.Errorf("writing a segment twice leaves %d segments, want 1", len(found))
	}
	publish(t, a, 0, 7, events(0, 5)) // published earlier, or of a topic that was created again
	if found := segments(t, a); len(found) != 2 {
		t.Errorf("there are %d segments, want both with the same offset and different content", len(found))
	}
}

func TestUnpublishedSegmentsAreInvisible(t *testing.T) {
	a := openTestDir(t)
	d, err := a.NewSegment(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Add(events(0, 1)[0]); err != nil {
		t.Fatal(err)
	}
	if found := segments(t, a); len(found) != 0 {
		t.Errorf("an unpublished segment is listed: %v", found)
	}
	if err := a.RemoveAbandoned(); err != nil {
		t.Fatal(err)
	}
	if err := d.Publish(); err != nil {
		t.Errorf("a segment that is being written was removed as abandoned: %v", err)
	}

	old, err := a.NewSegment(0, 1)
	if err != nil {
		t.Fatal(err)
	}
	path := old.writer.file.Name()
	if err := os.Chtimes(path, time.Time{}, time.Now().Add(-2*abandonedAge)); err != nil {
		t.Fatal(err)
	}
	if err := a.RemoveAbandoned(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the temporary file of a killed process still exists (%v)", err)
	}
}

func TestDiscardLeavesNothing(t *testing.T) {
	a := openTestDir(t)
	d, err := a.NewSegment(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Discard(); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(a.segments()); len(left) != 0 {
		t.Errorf("a discarded segment leaves %v", left)
	}
}

func TestDamagedSegmentIsRejected(t *testing.T) {
	a := openTestDir(t)
	publish(t, a, 0, 0, events(0, 100))
	segment := segments(t, a)[0]
	whole, err := os.ReadFile(segment.Path)
	if err != nil {
		t.Fatal(err)
	}
	for name, broken := range map[string][]byte{
		"cut": whole[:len(whole)-3], "empty": nil, "changed": append(slices.Clone(whole[:50]), append([]byte{whole[50] ^ 1}, whole[51:]...)...),
	} {
		if err := os.WriteFile(segment.Path, broken, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := segment.Open(); !errors.Is(err, ErrDamaged) {
			t.Errorf("a segment that was %s: error %v, want ErrDamaged", name, err)
		}
	}
}

func TestForeignFileIsAnError(t *testing.T) {
	a := openTestDir(t)
	foreign := filepath.Join(a.segments(), "notes.parquet")
	if err := os.WriteFile(foreign, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Segments(); err == nil {
		t.Error("a file that is not a segment is skipped: its events would be lost silently")
	}
}

func TestRemove(t *testing.T) {
	a := openTestDir(t)
	publish(t, a, 0, 0, events(0, 3))
	publish(t, a, 0, 3, events(3, 6))
	found := segments(t, a)
	for range 2 { // also a second time, as after a kill
		if err := a.Remove(found[:1]); err != nil {
			t.Fatal(err)
		}
	}
	if left := segments(t, a); len(left) != 1 || left[0] != found[1] {
		t.Errorf("%v are left, want %v", left, found[1:])
	}
}

func TestReadSomeColumns(t *testing.T) {
	a := openTestDir(t)
	publish(t, a, 0, 0, events(0, 5000))
	r, err := Open[struct {
		Item string `parquet:"item_id,dict,zstd"`
	}](segments(t, a)[0].Path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for i, e := range events(0, 5000) {
		if row, err := r.Next(); err != nil || row.Item != e.Item {
			t.Fatalf("row %d is %v (%v), want item %s", i, row, err, e.Item)
		}
	}
}
