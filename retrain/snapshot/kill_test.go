package snapshot

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"genrec/pkg/event"
	"genrec/pkg/history"
)

// The test binary is also the process that is killed, if this says where it works.
const folderVariable = "SNAPSHOT_TEST_FOLDER"

func takeUntilKilled(folder string) {
	archive, err := history.OpenDir(folder)
	fmt.Println("ready")
	for night := 0; err == nil; night++ {
		_, err = Take(context.Background(), Config{
			History: archive, Watermark: at(100), Logger: slog.New(slog.DiscardHandler), limits: small,
		})
	}
	panic(err)
}

// Kills at any point leave whole snapshots, and all events in what is there.
func TestKills(t *testing.T) {
	const kills = 15
	random := rand.New(rand.NewPCG(5, 5))
	w := newWorld(t)
	folder := t.TempDir()
	var err error
	if w.archive, err = history.OpenDir(folder); err != nil {
		t.Fatal(err)
	}
	var arrived []event.Event
	var longest time.Duration // that a snapshot took without a kill
	for n := range kills {
		for range 5 {
			events := randomEvents(random, 200)
			for i := range events {
				events[i].ID += fmt.Sprint("-", n)
			}
			w.segment(events...)
			arrived = append(arrived, events...)
		}
		if n%5 == 0 {
			began := time.Now()
			w.take(at(100))
			longest = max(longest, time.Since(began))
			continue
		}
		process := exec.CommandContext(t.Context(), os.Args[0])
		process.Env = append(os.Environ(), folderVariable+"="+folder)
		out, err := process.StdoutPipe()
		if err == nil {
			err = process.Start()
		}
		if err == nil {
			_, err = out.Read(make([]byte, 1))
		}
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(random.Int64N(int64(2 * longest))))
		_ = process.Process.Kill()
		_ = process.Wait()

		newest, err := Newest(folder + "/snapshots")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := newest.Sequences(t.Context()); err != nil {
			t.Fatalf("a kill left a snapshot that cannot be read: %v", err)
		}
	}
	if numbers := w.snapshots(); slices.Max(numbers) <= kills/5 {
		t.Fatalf("the killed processes took no snapshot among %v", numbers)
	}
	check(t, w.take(at(100)), expected(arrived, nil, at(100)))
	noDrafts(t, w.archive.Snapshots())
}
