package archive

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/event"
	"genrec/pkg/history"
	"genrec/pkg/stream"
)

// harness is Kafka, a history and everything around an Archiver.
type harness struct {
	t        *testing.T
	servers  *embeddedtest.Servers
	folder   string
	archive  *history.Archive
	produced []string // ids of valid events
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	servers, _ := embeddedtest.Start(t)
	h := &harness{t: t, servers: servers, folder: t.TempDir()}
	var err error
	if h.archive, err = history.OpenArchive(h.folder); err != nil {
		t.Fatal(err)
	}
	return h
}

// running is an Archiver whose Run has been called.
type running struct {
	*Archiver
	*embeddedtest.Service
}

func (h *harness) run(cfg Config) *running {
	if len(cfg.Kafka.Brokers) == 0 {
		cfg.Kafka = h.servers.Cluster()
	}
	cfg.Logger = slog.New(slog.DiscardHandler)
	a := New(cfg, h.archive)
	return &running{Archiver: a, Service: embeddedtest.Run(h.t, a.Run)}
}

// produce writes events of so many users, one of each.
func (h *harness) produce(users int) {
	h.t.Helper()
	var messages []kafka.Message
	for user := range users {
		e := event.Event{
			ID: fmt.Sprint("e", len(h.produced)), User: fmt.Sprint("user-", user), Item: "apple", Type: event.DefaultType, Time: time.Now(),
		}
		value, err := json.Marshal(e)
		if err != nil {
			h.t.Fatal(err)
		}
		h.produced = append(h.produced, e.ID)
		messages = append(messages, kafka.Message{Key: []byte(e.User), Value: value})
	}
	h.write(messages...)
}

func (h *harness) write(messages ...kafka.Message) {
	h.t.Helper()
	w := stream.NewWriter(h.servers.Cluster(), stream.DefaultTopics().Interactions)
	defer w.Close()
	if err := w.WriteMessages(h.t.Context(), messages...); err != nil {
		h.t.Fatal(err)
	}
}

// archived returns the ids in the segments, in order, and how many segments there are.
func (h *harness) archived() (ids []string, segments int) {
	h.t.Helper()
	found, err := h.archive.Segments()
	if err != nil {
		h.t.Fatal(err)
	}
	for _, s := range found {
		r, err := s.Open()
		if err != nil {
			h.t.Fatal(err)
		}
		for {
			row, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				h.t.Fatal(err)
			}
			ids = append(ids, row.ID)
		}
		r.Close()
	}
	return ids, len(found)
}

// wantAll checks that every event is there, with or without duplicates.
func (h *harness) wantAll(duplicates bool) {
	h.t.Helper()
	ids, _ := h.archived()
	slices.Sort(ids)
	want := slices.Sorted(slices.Values(h.produced))
	if distinct := slices.Compact(slices.Clone(ids)); !slices.Equal(distinct, want) {
		h.t.Errorf("%d different events are archived, want the %d that were produced", len(distinct), len(want))
	} else if !duplicates && len(ids) != len(want) {
		h.t.Errorf("%d events are archived twice although nothing failed", len(ids)-len(want))
	}
}

func (h *harness) committed() int64 {
	h.t.Helper()
	return h.servers.Committed(DefaultGroup, stream.DefaultTopics().Interactions)
}

// awaitCommits waits until all that was produced is committed, and other messages.
func (h *harness) awaitCommits(others int) {
	h.t.Helper()
	embeddedtest.Eventually(h.t, func() string {
		if n, want := h.committed(), int64(len(h.produced)+others); n != want {
			return fmt.Sprintf("%d messages are committed, want %d", n, want)
		}
		return ""
	})
}
