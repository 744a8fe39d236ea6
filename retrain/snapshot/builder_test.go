package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"genrec/pkg/event"
	"genrec/pkg/history"
	"genrec/sessions"
)

// randomEvents returns events of few users at few times, some of them duplicates.
func randomEvents(random *rand.Rand, n int) (all []event.Event) {
	for range n {
		id := random.IntN(3 * n)
		same := rand.New(rand.NewPCG(uint64(id), 1)) // duplicates are identical
		all = append(all, event.Event{
			ID: fmt.Sprint("e", id), User: fmt.Sprint("u", same.IntN(12)), Item: fmt.Sprint("i", same.IntN(30)),
			Type: []string{"view", "purchase"}[same.IntN(2)], Time: at(same.IntN(200)),
		})
	}
	return all
}

// TestSuccessiveSnapshots checks that incremental snapshots of late, early and duplicate events, in
// segments and in Redis, with erasures in between, equal one computed from all events at once.
func TestSuccessiveSnapshots(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 7))
			env := newEnvironment(t)
			var arrived []event.Event
			for round := range 4 {
				for range random.IntN(3) {
					events := append(randomEvents(random, 1+random.IntN(150)), event.Event{ID: fmt.Sprint("n", round), User: "regular", Item: "i1", Type: "view", Time: epoch})
					env.segment(events...)
					arrived = append(arrived, events...)
				}
				// Redis has duplicates, and events that are in no segment.
				clear(env.redis)
				for _, e := range append(randomEvents(random, 40), event.Event{ID: "redis", User: "regular", Item: "i2", Type: "view", Time: epoch}) {
					env.redis[e.User] = append(env.redis[e.User], e)
					arrived = append(arrived, e)
				}
				if random.IntN(2) == 0 {
					user := fmt.Sprint("u", random.IntN(12))
					env.erased[user] = at(max(random.IntN(200), int(env.erased[user].Sub(epoch).Milliseconds())))
				}
				watermark := at(50 * (round + 1))
				s := env.build(watermark)
				check(t, s, expected(arrived, env.erased, watermark))
				if n := env.segments(); n != 0 {
					t.Errorf("%d merged segments are left", n)
				}
				noDrafts(t, env.history.Snapshots())
			}
		})
	}
}

// TestEqualContentsGiveEqualBytes checks that the number of snapshots before does not matter.
func TestEqualContentsGiveEqualBytes(t *testing.T) {
	events := randomEvents(rand.New(rand.NewPCG(3, 3)), 600)
	var hashes []string
	for _, rounds := range []int{1, 1, 3, 6} {
		env := newEnvironment(t)
		var s *Snapshot
		for part := range slices.Chunk(events, len(events)/rounds) {
			env.segment(part...)
			s = env.build(at(150))
		}
		hashes = append(hashes, s.Hash)
		if len(s.Later) == 0 {
			t.Fatal("no events are later than the watermark: the test is not effective")
		}
	}
	if distinct := slices.Compact(slices.Clone(hashes)); len(distinct) != 1 {
		t.Errorf("the same events give snapshots %v, want one", hashes)
	}
}

// TestLongHistory checks that a user with more events than fit into memory is truncated to the newest.
func TestLongHistory(t *testing.T) {
	env := newEnvironment(t)
	var arrived []event.Event
	for round := range 3 {
		var events []event.Event
		for n := range 2000 {
			events = append(events, event.Event{
				ID: fmt.Sprint("e", round, "-", n), User: "bot", Item: fmt.Sprint("i", n%50), Type: "view", Time: at((n*7919 + round) % 5000),
			})
		}
		env.segment(events...)
		arrived = append(arrived, events...)
		s := env.build(at(10_000))
		check(t, s, expected(arrived, nil, at(10_000)))
		if s.Events != MaxEvents {
			t.Errorf("%d events of one user are kept, want %d", s.Events, MaxEvents)
		}
	}
}

// TestWithoutHistory checks that a snapshot without a history has only the sequences in Redis.
func TestWithoutHistory(t *testing.T) {
	env := newEnvironment(t)
	folder := filepath.Join(t.TempDir(), "snapshots")
	one := event.Event{ID: "1", User: "ann", Item: "apple", Type: "view", Time: at(1)}
	two := event.Event{ID: "2", User: "bob", Item: "bread", Type: "view", Time: at(2)}
	for _, e := range []event.Event{one, two} {
		clear(env.redis)
		env.redis[e.User] = []event.Event{e}
		c := env.config(at(10))
		c.History, c.Folder = nil, folder
		s, err := Build(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		check(t, s, expected([]event.Event{e}, nil, at(10)))
	}
}

func TestNoData(t *testing.T) {
	env := newEnvironment(t)
	env.segment(event.Event{ID: "1", User: "ann", Item: "apple", Type: "view", Time: at(100)})
	if _, err := Build(t.Context(), env.config(at(50))); !errors.Is(err, ErrNoData) {
		t.Errorf("error %v, want ErrNoData", err)
	}
	if env.segments() != 1 || len(env.snapshots()) > 0 {
		t.Errorf("%d segments and snapshots %v are left, want the segment", env.segments(), env.snapshots())
	}
	noDrafts(t, env.history.Snapshots())
}

func TestOldSnapshotsAreRemoved(t *testing.T) {
	env := newEnvironment(t)
	for n, want := range [][]int{{1}, {1, 2}, {2, 3}, {3, 4}} {
		env.segment(event.Event{ID: fmt.Sprint(n), User: fmt.Sprint("u", n), Item: "apple", Type: "view", Time: at(n)})
		env.build(at(10))
		if got := env.snapshots(); !slices.Equal(got, want) {
			t.Errorf("snapshots %v are kept after round %d, want %v", got, n+1, want)
		}
	}
	env.erased["u1"] = at(20)
	env.build(at(30))
	if got := env.snapshots(); !slices.Equal(got, []int{5}) {
		t.Errorf("snapshots %v are kept after a user was erased, want the new one", got)
	}
}

// failing is a Redis whose connection is lost during Walk.
type failing struct{ redis }

var errConnection = errors.New("connection lost")

func (f failing) Walk(ctx context.Context, each func(sessions.Sequence) error) (int64, error) {
	skipped, err := f.redis.Walk(ctx, each)
	return skipped, errors.Join(err, errConnection)
}

// unreadable is a Redis with three unreadable sequences.
type unreadable struct{ redis }

func (p unreadable) Walk(ctx context.Context, each func(sessions.Sequence) error) (int64, error) {
	_, err := p.redis.Walk(ctx, each)
	return 3, err
}

func TestSkippedUsersAreReported(t *testing.T) {
	env := newEnvironment(t)
	env.redis["ann"] = []event.Event{{ID: "1", Item: "apple", Type: "view", Time: at(1)}}
	c := env.config(at(10))
	var logged bytes.Buffer
	c.Sequences, c.Logger = unreadable{env.redis}, slog.New(slog.NewTextHandler(&logged, nil))
	s, err := Build(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if s.Skipped != 3 || s.Users != 1 || !strings.Contains(logged.String(), "skipped_users=3") {
		t.Errorf("a snapshot of %d users has %d skipped and logs %s; want 1 and 3", s.Users, s.Skipped, &logged)
	}
}

func TestFailureDeletesNothing(t *testing.T) {
	env := newEnvironment(t)
	env.segment(randomEvents(rand.New(rand.NewPCG(1, 1)), 100)...)
	before := env.build(at(100))
	env.segment(randomEvents(rand.New(rand.NewPCG(2, 2)), 100)...)
	c := env.config(at(200))
	c.Sequences = failing{env.redis}
	if _, err := Build(t.Context(), c); !errors.Is(err, errConnection) {
		t.Errorf("error %v, want that of the source", err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if _, err := Build(stopped, env.config(at(200))); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	if newest, err := Newest(env.history.Snapshots()); err != nil || newest.Hash != before.Hash || env.segments() != 1 {
		t.Errorf("newest is %v (%v) and %d segments are left, want the snapshot before and 1", newest, err, env.segments())
	}
	noDrafts(t, env.history.Snapshots())
}

func TestConcurrentBuildsAreRejected(t *testing.T) {
	env := newEnvironment(t)
	env.segment(event.Event{ID: "1", User: "ann", Item: "apple", Type: "view", Time: at(0)})
	unlock, err := lock(filepath.Join(env.history.Snapshots(), "lock"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Build(t.Context(), env.config(at(9))); !errors.Is(err, ErrBusy) {
		t.Errorf("error %v, want ErrBusy", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	env.build(at(9))
}

// TestDamageIsFound checks that damaged files are reported, and nothing is deleted.
func TestDamageIsFound(t *testing.T) {
	env := newEnvironment(t)
	env.segment(randomEvents(rand.New(rand.NewPCG(1, 1)), 300)...)
	s := env.build(at(100))
	env.segment(randomEvents(rand.New(rand.NewPCG(2, 1)), 10)...)
	for _, file := range slices.Concat(s.Files, s.Later) {
		path := filepath.Join(s.Dir, file.Name)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		broken := slices.Clone(whole)
		broken[len(broken)/2] ^= 1
		if err := os.WriteFile(path, broken, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Build(t.Context(), env.config(at(200))); !errors.Is(err, history.ErrDamaged) {
			t.Errorf("a snapshot on top of a damaged %s: error %v, want ErrDamaged", file.Name, err)
		}
		if _, err := s.Sequences(t.Context()); slices.Contains(s.Files, file) && !errors.Is(err, history.ErrDamaged) {
			t.Errorf("reading a damaged %s: error %v, want ErrDamaged", file.Name, err)
		}
		if err := os.WriteFile(path, whole, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if n := env.segments(); n != 1 {
		t.Errorf("%d segments are left, want 1", n)
	}
	s.Events++
	if _, err := s.Sequences(t.Context()); err == nil {
		t.Error("a manifest whose counts differ from the files is accepted")
	}
	if err := os.WriteFile(filepath.Join(s.Dir, manifestFile), []byte(`{"schema_version": 2}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(s.Dir); err == nil {
		t.Error("a manifest of another schema version is accepted")
	}
}

func TestItemIDsShareMemory(t *testing.T) {
	env := newEnvironment(t)
	var events []event.Event
	for n := range 100 {
		events = append(events, event.Event{ID: fmt.Sprint(n), User: fmt.Sprint("u", n), Item: "the same", Type: "view", Time: at(n)})
	}
	env.segment(events...)
	sequences, err := env.build(at(100)).Sequences(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sequences {
		if unsafe.StringData(s.Items[0]) != unsafe.StringData(sequences[0].Items[0]) {
			t.Fatal("an item is in memory more than once")
		}
	}
}
