package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/history"
	"genrec/pkg/stream"
)

const soon = 100 * time.Millisecond

func TestSegmentsCloseByAge(t *testing.T) {
	h := newHistoryHarness(t)
	r := h.run(HistoryConfig{SegmentAge: soon})
	h.write(kafka.Message{Key: []byte("ann"), Value: []byte("{")}) // invalid: dead-lettered by the Ingester
	h.produce(5)
	h.awaitCommits(1)
	h.produce(5)
	h.awaitCommits(1)
	r.Stop()
	h.wantAll(false)
	if n := r.Written(); n != 10 {
		t.Errorf("Written() is %d, want 10", n)
	}
}

// One of the configured brokers may be down, also while a start offset is looked up.
func TestHistoryWithDeadBroker(t *testing.T) {
	h := newHistoryHarness(t)
	h.produce(5)
	cluster := h.servers.Cluster()
	cluster.Brokers = append([]string{"127.0.0.1:1"}, cluster.Brokers...)
	r := h.run(HistoryConfig{Kafka: cluster, SegmentAge: soon, StartOffset: stream.StartAt(time.Now().Add(-time.Hour))})
	h.awaitCommits(0)
	r.Stop()
	h.wantAll(false)
}

func TestSegmentsCloseBySize(t *testing.T) {
	h := newHistoryHarness(t)
	for range 10 {
		h.produce(1) // of one partition
	}
	r := h.run(HistoryConfig{SegmentAge: time.Hour, SegmentMessages: 4})
	embeddedtest.Eventually(t, func() string {
		if n := h.committed(); n != 8 {
			return fmt.Sprintf("%d messages are committed, want 8", n)
		}
		return ""
	})
	r.Stop()
	if ids, segments := h.written(); len(ids) != 8 || segments != 2 {
		t.Errorf("%d events are in %d segments, want 8 of 10 in 2", len(ids), segments)
	}
	last := h.run(HistoryConfig{SegmentAge: soon})
	h.awaitCommits(0)
	last.Stop()
	h.wantAll(false)
	if left, _ := filepath.Glob(filepath.Join(h.folder, "segments", ".draft-*")); len(left) > 0 {
		t.Errorf("a stopped HistoryWriter leaves temporary files: %v", left)
	}
}

func TestInvalidEventsMakeNoSegment(t *testing.T) {
	h := newHistoryHarness(t)
	r := h.run(HistoryConfig{SegmentAge: soon})
	h.write(kafka.Message{Value: []byte("{")})
	h.awaitCommits(1)
	r.Stop()
	if ids, segments := h.written(); len(ids)+segments > 0 {
		t.Errorf("%d events in %d segments, want none", len(ids), segments)
	}
}

func TestHistoryCrashBeforeCommit(t *testing.T) {
	h := newHistoryHarness(t)
	fault := h.servers.Faults().Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: DefaultHistoryGroup, Err: kerr.CoordinatorLoadInProgress, Count: -1,
	})
	h.produce(6)
	crashed := h.run(HistoryConfig{SegmentAge: soon})
	embeddedtest.Eventually(t, func() string {
		if fault.Hits() == 0 {
			return "the fault was not triggered"
		}
		return ""
	})
	crashed.Stop()
	if h.committed() != 0 || crashed.Written() != 0 {
		t.Fatalf("%d messages are committed and Written() is %d, want none", h.committed(), crashed.Written())
	}
	fault.Remove()
	next := h.run(HistoryConfig{SegmentAge: soon})
	h.awaitCommits(0)
	next.Stop()
	h.wantAll(true)
}

func TestHistoryRebalance(t *testing.T) {
	h := newHistoryHarness(t)
	const users = 8
	cfg := HistoryConfig{SegmentAge: soon}
	first := h.run(cfg)
	h.produce(users)
	second := h.run(cfg)
	h.produce(users)
	embeddedtest.Eventually(t, func() string {
		h.produce(users)
		if h.servers.Members(DefaultHistoryGroup) != 2 {
			return "the second member did not join the group"
		}
		return ""
	})
	h.produce(users)
	first.Stop()
	h.produce(users)
	h.awaitCommits(0)
	second.Stop()
	h.wantAll(true)
}

// A disk that is unwritable for a while delays the history and loses nothing.
func TestHistoryDiskOutage(t *testing.T) {
	h := newHistoryHarness(t)
	segments := filepath.Join(h.folder, "segments")
	if err := os.Rename(segments, segments+".away"); err != nil {
		t.Fatal(err)
	}
	r := h.run(HistoryConfig{SegmentAge: soon})
	h.produce(5)
	time.Sleep(5 * soon)
	if n := h.committed(); n != 0 {
		t.Errorf("%d messages are committed while the disk is unwritable", n)
	}
	if err := os.Rename(segments+".away", segments); err != nil {
		t.Fatal(err)
	}
	h.awaitCommits(0)
	r.Stop()
	h.wantAll(false)
}

// The test binary is also the process that gets killed, if these variables are set.
const (
	brokerVariable = "HISTORY_TEST_BROKER"
	folderVariable = "HISTORY_TEST_FOLDER"
)

func TestMain(m *testing.M) {
	if broker := os.Getenv(brokerVariable); broker != "" {
		writeHistoryUntilKilled(broker, os.Getenv(folderVariable))
	}
	embeddedtest.Main(m)
}

func writeHistoryUntilKilled(broker, folder string) {
	dir, err := history.OpenDir(folder)
	if err == nil {
		cfg := HistoryConfig{Kafka: stream.Cluster{Brokers: []string{broker}}, SegmentAge: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)}
		err = NewHistoryWriter(cfg, dir).Run(context.Background())
	}
	panic(err)
}

// Kills at any point lose nothing; events that are written twice have the same id.
func TestHistorySurvivesKills(t *testing.T) {
	const kills = 3
	h := newHistoryHarness(t)
	random := rand.New(rand.NewPCG(1, 1))
	start := func() *exec.Cmd {
		c := exec.CommandContext(t.Context(), os.Args[0])
		c.Env = append(os.Environ(), brokerVariable+"="+h.servers.KafkaBrokers()[0], folderVariable+"="+h.folder)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	for range kills {
		before := h.committed()
		process := start()
		h.produce(20)
		embeddedtest.Eventually(t, func() string { // until it is working
			if h.produce(5); h.committed() == before {
				return "nothing is committed"
			}
			return ""
		})
		time.Sleep(time.Duration(random.IntN(50)) * time.Millisecond)
		_ = process.Process.Kill()
		_ = process.Wait()
	}
	last := start()
	h.awaitCommits(0)
	_ = last.Process.Kill()
	_ = last.Wait()
	h.wantAll(true)
}
