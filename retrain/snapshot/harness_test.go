package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"genrec/pkg/event"
	"genrec/pkg/history"
	"genrec/pkg/userstate"
	"genrec/sessions"
)

// smallLimits exercise every code path with a few hundred events.
var smallLimits = limits{rows: 20, file: 50, fanOut: 2, passes: 3}

var epoch = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func at(ms int) time.Time { return epoch.Add(time.Duration(ms) * time.Millisecond) }

// environment is a history, the sequences in Redis, and the erased users.
type environment struct {
	t       *testing.T
	history *history.Dir
	redis   redis
	erased  erasures
	offset  int64
}

func newEnvironment(t *testing.T) *environment {
	t.Helper()
	dir, err := history.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &environment{t: t, history: dir, redis: make(redis), erased: make(erasures)}
}

// redis has events by user; Walk returns each sequence twice.
type redis map[string][]event.Event

func (h redis) Walk(_ context.Context, each func(sessions.Sequence) error) (skipped int64, err error) {
	for range 2 {
		for user, events := range h {
			s := sessions.Sequence{User: user}
			for _, e := range events {
				s.Interactions = append(s.Interactions, userstate.Interaction{EventID: e.ID, Item: e.Item, Type: e.Type, Time: e.Time})
			}
			if err := each(s); err != nil {
				return 0, err
			}
		}
	}
	return 0, nil
}

// erasures has the time of each user's erasure.
type erasures map[string]time.Time

func (e erasures) Erasures(_ context.Context, users []string) ([]time.Time, error) {
	erased := make([]time.Time, len(users))
	for i, user := range users {
		erased[i] = e[user]
	}
	return erased, nil
}

func (env *environment) segment(events ...event.Event) {
	env.t.Helper()
	d, err := env.history.NewSegment(0, env.offset)
	if err != nil {
		env.t.Fatal(err)
	}
	env.offset += int64(len(events))
	for _, e := range events {
		if err := d.Add(e); err != nil {
			env.t.Fatal(err)
		}
	}
	if err := d.Publish(); err != nil {
		env.t.Fatal(err)
	}
}

func (env *environment) config(watermark time.Time) Config {
	return Config{
		History: env.history, Sequences: env.redis, Erasures: env.erased, Watermark: watermark, Logger: slog.New(slog.DiscardHandler), limits: smallLimits,
	}
}

func (env *environment) build(watermark time.Time) *Snapshot {
	env.t.Helper()
	s, err := Build(env.t.Context(), env.config(watermark))
	if err != nil {
		env.t.Fatal(err)
	}
	return s
}

func (env *environment) segments() int {
	env.t.Helper()
	found, err := env.history.Segments()
	if err != nil {
		env.t.Fatal(err)
	}
	return len(found)
}

func (env *environment) snapshots() []int {
	env.t.Helper()
	numbers, err := list(env.history.Snapshots())
	if err != nil {
		env.t.Fatal(err)
	}
	return numbers
}

// rows reads all rows of files.
func rows(t *testing.T, dir string, from []history.File) (all []history.Row) {
	t.Helper()
	for _, file := range from {
		r, err := openFile[history.Row](dir, file)
		if err != nil {
			t.Fatal(err)
		}
		for {
			row, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, row)
		}
		r.Close()
	}
	return all
}

// expected computes the contents of a snapshot of events in order of arrival, in memory.
func expected(arrived []event.Event, erased erasures, watermark time.Time) map[string][]string {
	known := make(map[string]bool)
	users := make(map[string][]event.Event)
	for _, e := range arrived {
		if id := e.User + " " + e.ID; !known[id] {
			known[id] = true
			users[e.User] = append(users[e.User], e)
		}
	}
	want := make(map[string][]string)
	for user, events := range users {
		slices.SortStableFunc(events, func(a, b event.Event) int { return a.Time.Compare(b.Time) })
		events = slices.DeleteFunc(events, func(e event.Event) bool { return e.Time.After(watermark) || !e.Time.After(erased[user]) })
		for _, e := range events[max(0, len(events)-MaxEvents):] {
			want[user] = append(want[user], fmt.Sprintf("%s %s %s %d", e.ID, e.Item, e.Type, e.Time.UnixMilli()))
		}
	}
	return want
}

// check compares the events, manifest and sequences of a snapshot with the expected ones.
func check(t *testing.T, s *Snapshot, want map[string][]string) {
	t.Helper()
	got := make(map[string][]string)
	items := make(map[string]bool)
	var oldest, last int64
	var order []row
	for _, r := range rows(t, s.Dir, s.Files) {
		if n := len(order); n == 0 || order[n-1].User != r.User {
			order = append(order, newRow(r))
		}
		got[r.User] = append(got[r.User], fmt.Sprintf("%s %s %s %d", r.ID, r.Item, r.Type, r.Time))
		items[r.Item] = true
		oldest, last = min(cmp.Or(oldest, r.Time), r.Time), max(last, r.Time)
	}
	for _, user := range slices.Sorted(maps.Keys(want)) {
		if !slices.Equal(got[user], want[user]) {
			t.Fatalf("user %s has\n%s\nwant\n%s", user, strings.Join(got[user], "\n"), strings.Join(want[user], "\n"))
		}
	}
	events := 0
	for _, all := range got {
		events += len(all)
	}
	if len(got) != len(want) || !slices.IsSortedFunc(order, byUser) || len(order) != len(got) {
		t.Fatalf("the snapshot has %d users in %d runs, in order: %v; want %d", len(got), len(order), slices.IsSortedFunc(order, byUser), len(want))
	}
	if s.Users != int64(len(got)) || s.Items != int64(len(items)) || s.Events != int64(events) ||
		s.Oldest.UnixMilli() != oldest || s.Newest.UnixMilli() != last {
		t.Errorf("the manifest has %+v; the files have %d users, %d items, %d events from %d to %d", s.Manifest, len(got), len(items), events, oldest, last)
	}
	sequences, err := s.Sequences(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, sequence := range sequences {
		var items []string
		for _, line := range want[sequence.User] {
			items = append(items, strings.Fields(line)[1])
		}
		if sequence.User != order[i].User || !slices.Equal(sequence.Items, items) {
			t.Fatalf("sequence %d is %v, want user %s and %v", i, sequence, order[i].User, items)
		}
	}
}

func noDrafts(t *testing.T, folder string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(folder, draftPrefix+"*"))
	if err != nil || len(left) > 0 {
		t.Errorf("drafts %v are left (%v), want none", left, err)
	}
}

func TestMain(m *testing.M) {
	if folder := os.Getenv(folderVariable); folder != "" {
		buildUntilKilled(folder)
	}
	os.Exit(m.Run())
}
