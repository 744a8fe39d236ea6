package archive

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/stream"
)

const soon = 100 * time.Millisecond

func TestSegmentsCloseByAge(t *testing.T) {
	h := newHarness(t)
	r := h.run(Config{MaxAge: soon})
	h.write(kafka.Message{Key: []byte("ann"), Value: []byte("{")}) // ingest buries it
	h.produce(5)
	h.awaitCommits(1)
	h.produce(5)
	h.awaitCommits(1)
	r.Stop()
	h.wantAll(false)
	if n := r.Archived(); n != 10 {
		t.Errorf("%d events are said to be archived, want 10", n)
	}
}

// One of the brokers that it is given may be away, also where a start has to be looked up.
func TestDeadBroker(t *testing.T) {
	h := newHarness(t)
	h.produce(5)
	cluster := h.servers.Cluster()
	cluster.Brokers = append([]string{"127.0.0.1:1"}, cluster.Brokers...)
	r := h.run(Config{Kafka: cluster, MaxAge: soon, Start: stream.Since(time.Now().Add(-time.Hour))})
	h.awaitCommits(0)
	r.Stop()
	h.wantAll(false)
}

func TestSegmentsCloseBySize(t *testing.T) {
	h := newHarness(t)
	for range 10 {
		h.produce(1) // of one partition
	}
	r := h.run(Config{MaxAge: time.Hour, MaxEvents: 4})
	embeddedtest.Eventually(t, func() string {
		if n := h.committed(); n != 8 {
			return fmt.Sprintf("%d messages are committed, want 8", n)
		}
		return ""
	})
	r.Stop()
	if ids, segments := h.archived(); len(ids) != 8 || segments != 2 {
		t.Errorf("%d events are in %d segments, want 8 of 10 in 2", len(ids), segments)
	}
	last := h.run(Config{MaxAge: soon})
	h.awaitCommits(0)
	last.Stop()
	h.wantAll(false)
	if left, _ := filepath.Glob(filepath.Join(h.folder, "segments", ".draft-*")); len(left) > 0 {
		t.Errorf("a stopped Archiver leaves drafts: %v", left)
	}
}

// What is committed without valid events makes no segment.
func TestBadEventsAlone(t *testing.T) {
	h := newHarness(t)
	r := h.run(Config{MaxAge: soon})
	h.write(kafka.Message{Value: []byte("{")})
	h.awaitCommits(1)
	r.Stop()
	if ids, segments := h.archived(); len(ids)+segments > 0 {
		t.Errorf("%d events in %d segments, want none", len(ids), segments)
	}
}

func TestCrashBeforeTheCommit(t *testing.T) {
	h := newHarness(t)
	fault := h.servers.Faults().Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: DefaultGroup, Err: kerr.CoordinatorLoadInProgress, Count: -1,
	})
	h.produce(6)
	crashed := h.run(Config{MaxAge: soon})
	embeddedtest.Eventually(t, func() string {
		if fault.Hits() == 0 {
			return "the Archiver did not come to the fault"
		}
		return ""
	})
	crashed.Stop()
	if h.committed() != 0 || crashed.Archived() != 0 {
		t.Fatalf("%d messages are committed, %d said to be archived, want none", h.committed(), crashed.Archived())
	}
	fault.Remove()
	next := h.run(Config{MaxAge: soon})
	h.awaitCommits(0)
	next.Stop()
	h.wantAll(true)
}

func TestMembersComeAndGo(t *testing.T) {
	h := newHarness(t)
	const users = 8
	cfg := Config{MaxAge: soon}
	first := h.run(cfg)
	h.produce(users)
	second := h.run(cfg)
	h.produce(users)
	embeddedtest.Eventually(t, func() string {
		h.produce(users)
		if h.servers.Members(DefaultGroup) != 2 {
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

// A disk that takes nothing more for a while holds the archive up and loses nothing.
func TestDiskOutage(t *testing.T) {
	h := newHarness(t)
	segments := filepath.Join(h.folder, "segments")
	if err := os.Rename(segments, segments+".away"); err != nil {
		t.Fatal(err)
	}
	r := h.run(Config{MaxAge: soon})
	h.produce(5)
	time.Sleep(5 * soon)
	if n := h.committed(); n != 0 {
		t.Errorf("%d messages are committed without a place to put them", n)
	}
	if err := os.Rename(segments+".away", segments); err != nil {
		t.Fatal(err)
	}
	h.awaitCommits(0)
	r.Stop()
	h.wantAll(false)
}
