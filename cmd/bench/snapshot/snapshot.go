// Package snapshot measures the time and memory for writing and reading a snapshot of the history.
// Its last line is
//
//	snapshot events=… users=… bytes=… write_s=… read_s=… next_s=… write_mb=… read_mb=… peak_mb=…
//
// "write" is the first snapshot, from segments only; "next" is the following one, with 10 % more events.
package snapshot

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"genrec/pkg/event"
	"genrec/pkg/history"
	"genrec/retrain/snapshot"
	"genrec/test/harness"
)

type settings struct {
	events int // of the first snapshot
	each   int // events per user
	items  int
	folder string
}

const segmentEvents = 1_000_000

// Command defines the flags and returns the benchmark.
func Command(flags *flag.FlagSet) func(context.Context) error {
	var s settings
	flags.IntVar(&s.events, "events", 10_000_000, "events of the first snapshot")
	flags.IntVar(&s.each, "each", 20, "events per user")
	flags.IntVar(&s.items, "items", 100_000, "items")
	flags.StringVar(&s.folder, "folder", "", "parent `FOLDER` of the history; default is the system's folder for temporary files")
	return func(ctx context.Context) error { return run(ctx, s) }
}

func run(ctx context.Context, s settings) error {
	root, err := os.MkdirTemp(s.folder, "genrec-bench-snapshot-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(root)
	archive, err := history.OpenDir(root)
	if err != nil {
		return err
	}
	b := &bench{archive: archive, random: rand.New(rand.NewPCG(1, 2)), users: max(1, s.events/s.each), items: s.items, at: time.UnixMilli(1_700_000_000_000)}
	if err := b.fill(ctx, s.events); err != nil {
		return err
	}
	fmt.Printf("%d events of %d users are in segments\n", s.events, b.users)

	var first *snapshot.Snapshot
	write, err := measure(func() (err error) {
		first, err = b.snapshot(ctx)
		return err
	})
	if err != nil {
		return err
	}
	fmt.Printf("snapshot written in %.1f s with %d MB\n", write.seconds, write.peakMB)
	read, err := measure(func() error {
		sequences, err := first.Sequences(ctx)
		runtime.KeepAlive(sequences)
		return err
	})
	if err != nil {
		return err
	}
	fmt.Printf("snapshot read in %.1f s with %d MB\n", read.seconds, read.peakMB)

	if err := b.fill(ctx, s.events/10); err != nil {
		return err
	}
	next, err := measure(func() error {
		_, err := b.snapshot(ctx)
		return err
	})
	if err != nil {
		return err
	}
	var bytes int64
	for _, file := range first.Files {
		bytes += file.Bytes
	}
	fmt.Printf("snapshot events=%d users=%d bytes=%d write_s=%.1f read_s=%.1f next_s=%.1f write_mb=%d read_mb=%d peak_mb=%d\n",
		first.Events, first.Users, bytes, write.seconds, read.seconds, next.seconds, max(write.peakMB, next.peakMB), read.peakMB,
		max(write.peakMB, next.peakMB, read.peakMB))
	return nil
}

// bench generates random events in the order of their times.
type bench struct {
	archive *history.Dir
	random  *rand.Rand
	users   int
	items   int
	at      time.Time
	offset  int64
}

func (b *bench) snapshot(ctx context.Context) (*snapshot.Snapshot, error) {
	return snapshot.Build(ctx, snapshot.Config{History: b.archive, Watermark: b.at, Logger: slog.New(slog.DiscardHandler)})
}

func (b *bench) fill(ctx context.Context, n int) error {
	for n > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		size := min(n, segmentEvents)
		if err := b.segment(size); err != nil {
			return err
		}
		n -= size
	}
	return nil
}

func (b *bench) segment(size int) error {
	draft, err := b.archive.NewSegment(0, b.offset)
	if err != nil {
		return err
	}
	b.offset += int64(size)
	for range size {
		b.at = b.at.Add(time.Second)
		e := event.Event{
			ID: b.eventID(), User: fmt.Sprintf("user-%07d", b.random.IntN(b.users)), Item: fmt.Sprintf("B%09d", b.random.IntN(b.items)),
			Type: event.DefaultType, Time: b.at,
		}
		if err := draft.Add(e); err != nil {
			return err
		}
	}
	return draft.Publish()
}

// eventID returns a random UUID.
func (b *bench) eventID() string {
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x",
		b.random.Uint32(), b.random.Uint32N(1<<16), b.random.Uint32N(1<<12), b.random.Uint32N(1<<12), b.random.Uint64N(1<<48))
}

// measured has the time and memory of an operation.
type measured struct {
	seconds float64
	peakMB  int // peak resident memory of the process
}

func measure(work func() error) (m measured, err error) {
	debug.FreeOSMemory()
	if err := harness.ResetPeakMemory(); err != nil {
		return m, err
	}
	began := time.Now()
	if err := work(); err != nil {
		return m, err
	}
	m.seconds = time.Since(began).Seconds()
	peak, err := harness.PeakMemory()
	m.peakMB = int(peak)
	return m, err
}
