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

// randomEvents are some of few users, at few times, some of them twice.
func randomEvents(random *rand.Rand, n int) (all []event.Event) {
	for range n {
		id := random.IntN(3 * n)
		same := rand.New(rand.NewPCG(uint64(id), 1)) // what is delivered twice is the same
		all = append(all, event.Event{
			ID: fmt.Sprint("e", id), User: fmt.Sprint("u", same.IntN(12)), Item: fmt.Sprint("i", same.IntN(30)),
			Type: []string{"view", "purchase"}[same.IntN(2)], Time: at(same.IntN(200)),
		})
	}
	return all
}

// Nights with events late, early and twice, in segments and in Redis, and users forgotten
// in between, leave what all of them at once, sorted, come to.
func TestManyNights(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 7))
			w := newWorld(t)
			var arrived []event.Event
			for night := range 4 {
				for range random.IntN(3) {
					events := append(randomEvents(random, 1+random.IntN(150)), event.Event{ID: fmt.Sprint("n", night), User: "regular", Item: "i1", Type: "view", Time: epoch})
					w.segment(events...)
					arrived = append(arrived, events...)
				}
				// Redis has copies, and events of which no segment tells.
				clear(w.hot)
				for _, e := range append(randomEvents(random, 40), event.Event{ID: "hot", User: "regular", Item: "i2", Type: "view", Time: epoch}) {
					w.hot[e.User] = append(w.hot[e.User], e)
					arrived = append(arrived, e)
				}
				if random.IntN(2) == 0 {
					user := fmt.Sprint("u", random.IntN(12))
					w.erased[user] = at(max(random.IntN(200), int(w.erased[user].Sub(epoch).Milliseconds())))
				}
				watermark := at(50 * (night + 1))
				s := w.take(watermark)
				check(t, s, expected(arrived, w.erased, watermark))
				if n := w.segments(); n != 0 {
					t.Errorf("%d segments are left that the snapshot has covered", n)
				}
				noDrafts(t, w.archive.Snapshots())
			}
		})
	}
}

// One night or several, the bytes are the same.
func TestEqualContentsGiveEqualBytes(t *testing.T) {
	events := randomEvents(rand.New(rand.NewPCG(3, 3)), 600)
	var hashes []string
	for _, nights := range []int{1, 1, 3, 6} {
		w := newWorld(t)
		var s *Snapshot
		for part := range slices.Chunk(events, len(events)/nights) {
			w.segment(part...)
			s = w.take(at(150))
		}
		hashes = append(hashes, s.Hash)
		if len(s.Later) == 0 {
			t.Fatal("no events are later than the watermark: the test is blind")
		}
	}
	if distinct := slices.Compact(slices.Clone(hashes)); len(distinct) != 1 {
		t.Errorf("the same events give snapshots %v, want one", hashes)
	}
}

// A user with more events than fit into memory is cut down to the newest.
func TestLongHistory(t *testing.T) {
	w := newWorld(t)
	var arrived []event.Event
	for night := range 3 {
		var events []event.Event
		for n := range 2000 {
			events = append(events, event.Event{
				ID: fmt.Sprint("e", night, "-", n), User: "bot", Item: fmt.Sprint("i", n%50), Type: "view", Time: at((n*7919 + night) % 5000),
			})
		}
		w.segment(events...)
		arrived = append(arrived, events...)
		s := w.take(at(10_000))
		check(t, s, expected(arrived, nil, at(10_000)))
		if s.Events != MaxEvents {
			t.Errorf("%d events of one user are kept, want %d", s.Events, MaxEvents)
		}
	}
}

// Without a history, the sequences in Redis are all there is, and none is carried on.
func TestWithoutHistory(t *testing.T) {
	w := newWorld(t)
	folder := filepath.Join(t.TempDir(), "snapshots")
	one := event.Event{ID: "1", User: "ann", Item: "apple", Type: "view", Time: at(1)}
	two := event.Event{ID: "2", User: "bob", Item: "bread", Type: "view", Time: at(2)}
	for _, e := range []event.Event{one, two} {
		clear(w.hot)
		w.hot[e.User] = []event.Event{e}
		c := w.config(at(10))
		c.History, c.Folder = nil, folder
		s, err := Take(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		check(t, s, expected([]event.Event{e}, nil, at(10)))
	}
}

func TestNoData(t *testing.T) {
	w := newWorld(t)
	w.segment(event.Event{ID: "1", User: "ann", Item: "apple", Type: "view", Time: at(100)})
	if _, err := Take(t.Context(), w.config(at(50))); !errors.Is(err, ErrNoData) {
		t.Errorf("error %v, want ErrNoData", err)
	}
	if w.segments() != 1 || len(w.snapshots()) > 0 {
		t.Errorf("%d segments and snapshots %v are left, want the segment", w.segments(), w.snapshots())
	}
	noDrafts(t, w.archive.Snapshots())
}

func TestOldSnapshotsGo(t *testing.T) {
	w := newWorld(t)
	for n, want := range [][]int{{1}, {1, 2}, {2, 3}, {3, 4}} {
		w.segment(event.Event{ID: fmt.Sprint(n), User: fmt.Sprint("u", n), Item: "apple", Type: "view", Time: at(n)})
		w.take(at(10))
		if got := w.snapshots(); !slices.Equal(got, want) {
			t.Errorf("snapshots %v are kept after night %d, want %v", got, n+1, want)
		}
	}
	w.erased["u1"] = at(20)
	w.take(at(30))
	if got := w.snapshots(); !slices.Equal(got, []int{5}) {
		t.Errorf("snapshots %v are kept after a user was forgotten, want the new one", got)
	}
}

// failing is a Redis that goes away in the midst.
type failing struct{ hot }

var errAway = errors.New("away")

func (f failing) Walk(ctx context.Context, each func(sessions.Sequence) error) (int64, error) {
	skipped, err := f.hot.Walk(ctx, each)
	return skipped, errors.Join(err, errAway)
}

// partly is a Redis in which some sequences are unreadable.
type partly struct{ hot }

func (p partly) Walk(ctx context.Context, each func(sessions.Sequence) error) (int64, error) {
	_, err := p.hot.Walk(ctx, each)
	return 3, err
}

func TestSkippedUsersAreReported(t *testing.T) {
	w := newWorld(t)
	w.hot["ann"] = []event.Event{{ID: "1", Item: "apple", Type: "view", Time: at(1)}}
	c := w.config(at(10))
	var logged bytes.Buffer
	c.Hot, c.Logger = partly{w.hot}, slog.New(slog.NewTextHandler(&logged, nil))
	s, err := Take(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if s.Skipped != 3 || s.Users != 1 || !strings.Contains(logged.String(), "skipped_users=3") {
		t.Errorf("a snapshot of %d users tells of %d skipped and logs %s; want 1 and 3", s.Users, s.Skipped, &logged)
	}
}

func TestFailureLeavesEverything(t *testing.T) {
	w := newWorld(t)
	w.segment(randomEvents(rand.New(rand.NewPCG(1, 1)), 100)...)
	before := w.take(at(100))
	w.segment(randomEvents(rand.New(rand.NewPCG(2, 2)), 100)...)
	c := w.config(at(200))
	c.Hot = failing{w.hot}
	if _, err := Take(t.Context(), c); !errors.Is(err, errAway) {
		t.Errorf("error %v, want that of the source", err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if _, err := Take(stopped, w.config(at(200))); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	if newest, err := Newest(w.archive.Snapshots()); err != nil || newest.Hash != before.Hash || w.segments() != 1 {
		t.Errorf("newest is %v (%v) and %d segments are left, want the snapshot before and 1", newest, err, w.segments())
	}
	noDrafts(t, w.archive.Snapshots())
}

func TestTwoDoNotTakeAtOnce(t *testing.T) {
	w := newWorld(t)
	w.segment(event.Event{ID: "1", User: "ann", Item: "apple", Type: "view", Time: at(0)})
	unlock, err := lock(filepath.Join(w.archive.Snapshots(), "lock"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Take(t.Context(), w.config(at(9))); !errors.Is(err, ErrBusy) {
		t.Errorf("error %v, want ErrBusy", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	w.take(at(9))
}

// Whatever is damaged is named; nothing is trained on, and nothing is deleted.
func TestDamageIsFound(t *testing.T) {
	w := newWorld(t)
	w.segment(randomEvents(rand.New(rand.NewPCG(1, 1)), 300)...)
	s := w.take(at(100))
	w.segment(randomEvents(rand.New(rand.NewPCG(2, 1)), 10)...)
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
		if _, err := Take(t.Context(), w.config(at(200))); !errors.Is(err, history.ErrDamaged) {
			t.Errorf("a snapshot on top of a damaged %s: error %v, want ErrDamaged", file.Name, err)
		}
		if _, err := s.Sequences(t.Context()); slices.Contains(s.Files, file) && !errors.Is(err, history.ErrDamaged) {
			t.Errorf("reading a damaged %s: error %v, want ErrDamaged", file.Name, err)
		}
		if err := os.WriteFile(path, whole, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.segments(); n != 1 {
		t.Errorf("%d segments are left, want 1", n)
	}
	s.Events++
	if _, err := s.Sequences(t.Context()); err == nil {
		t.Error("a manifest with other counts than the files is not noticed")
	}
	if err := os.WriteFile(filepath.Join(s.Dir, manifestFile), []byte(`{"schema_version": 2}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(s.Dir); err == nil {
		t.Error("a manifest of another schema version is accepted")
	}
}

func TestItemsAreInMemoryOnce(t *testing.T) {
	w := newWorld(t)
	var events []event.Event
	for n := range 100 {
		events = append(events, event.Event{ID: fmt.Sprint(n), User: fmt.Sprint("u", n), Item: "the same", Type: "view", Time: at(n)})
	}
	w.segment(events...)
	sequences, err := w.take(at(100)).Sequences(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sequences {
		if unsafe.StringData(s.Items[0]) != unsafe.StringData(sequences[0].Items[0]) {
			t.Fatal("an item is in memory more than once")
		}
	}
}
