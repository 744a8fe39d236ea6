package ingest

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

// historyHarness is Kafka and a history directory around a HistoryWriter.
type historyHarness struct {
	t        *testing.T
	servers  *embeddedtest.Servers
	folder   string
	dir      *history.Dir
	produced []string // ids of valid events
}

func newHistoryHarness(t *testing.T) *historyHarness {
	t.Helper()
	servers, _ := embeddedtest.Start(t)
	h := &historyHarness{t: t, servers: servers, folder: t.TempDir()}
	var err error
	if h.dir, err = history.OpenDir(h.folder); err != nil {
		t.Fatal(err)
	}
	return h
}

// runningWriter is a HistoryWriter whose Run has been called.
type runningWriter struct {
	*HistoryWriter
	*embeddedtest.Service
}

func (h *historyHarness) run(cfg HistoryConfig) *runningWriter {
	if len(cfg.Kafka.Brokers) == 0 {
		cfg.Kafka = h.servers.Cluster()
	}
	cfg.Logger = slog.New(slog.DiscardHandler)
	w := NewHistoryWriter(cfg, h.dir)
	return &runningWriter{HistoryWriter: w, Service: embeddedtest.Run(h.t, w.Run)}
}

// produce writes one event for each of a number of users.
func (h *historyHarness) produce(users int) {
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

func (h *historyHarness) write(messages ...kafka.Message) {
	h.t.Helper()
	w := stream.NewWriter(h.servers.Cluster(), stream.DefaultTopics().Interactions)
	defer w.Close()
	if err := w.WriteMessages(h.t.Context(), messages...); err != nil {
		h.t.Fatal(err)
	}
}

// written returns the event ids in the segments, in order, and the number of segments.
func (h *historyHarness) written() (ids []string, segments int) {
	h.t.Helper()
	found, err := h.dir.Segments()
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

// wantAll checks that every event is in a segment, with or without duplicates.
func (h *historyHarness) wantAll(duplicates bool) {
	h.t.Helper()
	ids, _ := h.written()
	slices.Sort(ids)
	want := slices.Sorted(slices.Values(h.produced))
	if distinct := slices.Compact(slices.Clone(ids)); !slices.Equal(distinct, want) {
		h.t.Errorf("%d distinct events are in the history, want the %d that were produced", len(distinct), len(want))
	} else if !duplicates && len(ids) != len(want) {
		h.t.Errorf("%d events are in the history twice although nothing failed", len(ids)-len(want))
	}
}

func (h *historyHarness) committed() int64 {
	h.t.Helper()
	return h.servers.Committed(DefaultHistoryGroup, stream.DefaultTopics().Interactions)
}

// awaitCommits waits until all produced events, and a number of other messages, are committed.
func (h *historyHarness) awaitCommits(others int) {
	h.t.Helper()
	embeddedtest.Eventually(h.t, func() string {
		if n, want := h.committed(), int64(len(h.produced)+others); n != want {
			return fmt.Sprintf("%d messages are committed, want %d", n, want)
		}
		return ""
	})
}
