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

// folderVariable makes the test binary build snapshots in a folder until it is killed.
const folderVariable = "SNAPSHOT_TEST_FOLDER"

func buildUntilKilled(folder string) {
	dir, err := history.OpenDir(folder)
	fmt.Println("ready")
	for err == nil {
		_, err = Build(context.Background(), Config{
			History: dir, Watermark: at(100), Logger: slog.New(slog.DiscardHandler), limits: smallLimits,
		})
	}
	panic(err)
}

// TestKills checks that a kill at any point leaves only complete snapshots and loses no event.
func TestKills(t *testing.T) {
	const kills = 15
	random := rand.New(rand.NewPCG(5, 5))
	env := newEnvironment(t)
	folder := t.TempDir()
	var err error
	if env.history, err = history.OpenDir(folder); err != nil {
		t.Fatal(err)
	}
	var arrived []event.Event
	var longest time.Duration // duration of an undisturbed build
	for n := range kills {
		for range 5 {
			events := randomEvents(random, 200)
			for i := range events {
				events[i].ID += fmt.Sprint("-", n)
			}
			env.segment(events...)
			arrived = append(arrived, events...)
		}
		if n%5 == 0 {
			began := time.Now()
			env.build(at(100))
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
	if numbers := env.snapshots(); slices.Max(numbers) <= kills/5 {
		t.Fatalf("the killed processes built none of the snapshots %v", numbers)
	}
	check(t, env.build(at(100)), expected(arrived, nil, at(100)))
	noDrafts(t, env.history.Snapshots())
}
