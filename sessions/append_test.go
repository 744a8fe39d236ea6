package sessions

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"genrec/pkg/event"
	"genrec/pkg/userstate"
)

func TestAnyDeliveryGivesTheSameSequence(t *testing.T) {
	rdb := newClient(t)
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 0))
		window := 1 + random.IntN(12)
		events := randomEvents(random, 1+random.IntN(2*window))
		s := open(t, rdb, Options{Window: window})
		for _, batch := range randomDelivery(random, events) {
			s.mustAppend(t, "ann", batch...)
		}
		kept := events[max(0, len(events)-window):]
		if got, want := s.sequence(t, "ann").Interactions, interactionsOf(kept); !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d, window %d: the sequence is\n%v\nwant the newest events ordered by time:\n%v", seed, window, got, want)
		}
	}
}

func TestRedeliveryChangesNothing(t *testing.T) {
	rdb := newClient(t)
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 1))
		window := 1 + random.IntN(8)
		events := make([]event.Event, 1+random.IntN(3*window))
		for i := range events {
			events[i] = eventAt(random.Int64N(5), fmt.Sprint("e", i)) // many ties
		}
		s := open(t, rdb, Options{Window: window})
		s.mustAppend(t, "ann", events...)
		want := s.sequence(t, "ann")
		for _, batch := range randomDelivery(random, events) {
			if a := s.mustAppend(t, "ann", batch...); a.Added != 0 || a.Version != want.Version {
				t.Fatalf("seed %d, window %d: redelivery of %v added %d, version %d, was %d", seed, window, batch, a.Added, a.Version, want.Version)
			}
		}
		if got := s.sequence(t, "ann"); !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d, window %d: redelivery changed\n%v\nto\n%v", seed, window, want, got)
		}
	}
}

// randomEvents returns events in the order of their distinct times.
func randomEvents(random *rand.Rand, n int) []event.Event {
	events := make([]event.Event, n)
	ms := int64(1_700_000_000_000)
	for i := range events {
		ms += 1 + random.Int64N(3)
		events[i] = eventAt(ms, fmt.Sprint("e", i))
	}
	return events
}

// randomDelivery delivers every event, some repeatedly, in any order.
func randomDelivery(random *rand.Rand, events []event.Event) (batches [][]event.Event) {
	all := slices.Clone(events)
	for range random.IntN(2 * len(events)) {
		all = append(all, events[random.IntN(len(events))])
	}
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for len(all) > 0 {
		n := 1 + random.IntN(len(all))
		batches, all = append(batches, all[:n]), all[n:]
	}
	return batches
}

func interactionsOf(events []event.Event) []userstate.Interaction {
	interactions := make([]userstate.Interaction, len(events))
	for i, e := range events {
		interactions[i] = userstate.Interaction{EventID: e.ID, Item: e.Item, Type: e.Type, Time: e.Time}
	}
	return interactions
}

func TestOneMillisecondFillsTheLargestWindow(t *testing.T) {
	s := newStore(t, Options{Window: MaxWindow})
	var events []event.Event
	for i := range MaxWindow {
		events = append(events, eventAt(1_700_000_000_000, fmt.Sprint("e", i)))
	}
	s.mustAppend(t, "ann", events...)
	if got := s.sequence(t, "ann").Interactions; !reflect.DeepEqual(got, interactionsOf(events)) {
		t.Errorf("got %d interactions, want the %d in the order of their arrival", len(got), len(events))
	}
}

func TestTimesAreExact(t *testing.T) {
	s := newStore(t, Options{})
	events := []event.Event{eventAt(0, "a"), eventAt(1, "b"), eventAt(userstate.Forever.UnixMilli()-1, "c"), eventAt(userstate.Forever.UnixMilli(), "d")}
	s.mustAppend(t, "ann", events...)
	if got := s.sequence(t, "ann").Interactions; !reflect.DeepEqual(got, interactionsOf(events)) {
		t.Errorf("got %v, want %v", got, interactionsOf(events))
	}
	for _, ms := range []int64{-1, userstate.Forever.UnixMilli() + 1} {
		if _, err := s.Append(t.Context(), []UserEvents{{User: "ann", Events: []event.Event{eventAt(ms, "e")}}}); err == nil {
			t.Errorf("the time %d ms was accepted, which cannot be encoded", ms)
		}
	}
}

func TestIDsAreOpaque(t *testing.T) {
	s := newStore(t, Options{})
	for _, id := range []string{"a b", "a:b", "a}b{", "{a", "*", "ключ", `"\`, "%d", strings.Repeat("x", 256)} {
		e := event.Event{ID: id, Item: id, Type: "view", Time: time.UnixMilli(1).UTC()}
		s.mustAppend(t, id, e)
		if got := s.sequence(t, id).Interactions; !reflect.DeepEqual(got, interactionsOf([]event.Event{e})) {
			t.Errorf("got %+v, want %+v", got, e)
		}
	}
}

func TestAppendReturnsResultsInOrder(t *testing.T) {
	s := newStore(t, Options{})
	got, err := s.Append(t.Context(), []UserEvents{
		{User: "bob", Events: []event.Event{eventAt(1, "e1"), eventAt(2, "e2")}},
		{User: "ann", Events: []event.Event{eventAt(1, "e1")}},
		{User: "bob", Events: []event.Event{eventAt(2, "e2")}},
	})
	want := []Appended{{User: "bob", Version: 2, Added: 2}, {User: "ann", Version: 1, Added: 1}, {User: "bob", Version: 2}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, error %v; want %+v", got, err, want)
	}
	if got, err := s.Append(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("an empty batch returned %v, error %v; want nothing", got, err)
	}
}

func TestConcurrentAppends(t *testing.T) {
	s := newStore(t, Options{})
	events := randomEvents(rand.New(rand.NewPCG(1, 2)), 100)
	var writers sync.WaitGroup
	for seed := range uint64(4) {
		writers.Go(func() {
			for _, batch := range randomDelivery(rand.New(rand.NewPCG(seed, 2)), events) {
				if _, err := s.Append(t.Context(), []UserEvents{{User: "ann", Events: batch}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	written := make(chan struct{})
	go func() { writers.Wait(); close(written) }()
	for reading := true; reading; {
		select {
		case <-written:
			reading = false
		default:
		}
		if got := s.sequence(t, "ann"); int64(len(got.Interactions)) < got.Version {
			t.Fatalf("read version %d with %d interactions: an old sequence with a new version", got.Version, len(got.Interactions))
		}
	}
	got := s.sequence(t, "ann")
	if !reflect.DeepEqual(got.Interactions, interactionsOf(events)) || got.Version != int64(len(events)) {
		t.Errorf("got version %d with %d interactions, want each of the %d events once", got.Version, len(got.Interactions), len(events))
	}
}

func TestScriptsAreReloadedAfterRestart(t *testing.T) {
	s := newStore(t, Options{})
	s.mustAppend(t, "ann", eventAt(1, "e1"))
	if err := s.rdb.ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if a := s.mustAppend(t, "ann", eventAt(2, "e2")); a.Added != 1 || a.Version != 2 {
		t.Errorf("got %+v, want one added and version 2", a)
	}
	if err := s.rdb.ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if !s.mustPut(t, userstate.List{User: "ann"}) {
		t.Error("the list was not written")
	}
}

// Evicted entries must not accumulate.
func TestFullWindowStaysSmall(t *testing.T) {
	s := newStore(t, Options{})
	var entry int
	for i := range int64(5 * DefaultWindow) {
		e := eventAt(1_700_000_000_000+i, fmt.Sprintf("8c5f7c52-0b8e-4f36-9d6a-%012d", i))
		s.mustAppend(t, "ann", e)
		encoded, err := userstate.EncodeEvent(e)
		if err != nil {
			t.Fatal(err)
		}
		entry = max(entry, len(encoded.Key)+len(encoded.Rest))
	}
	size, err := s.rdb.StrLen(t.Context(), s.keys.Sequence("ann")).Result()
	if limit := DefaultWindow*entry*4/3 + 2*entry + userstate.FooterWidth; err != nil || size > int64(limit) {
		t.Errorf("%d events take %d bytes (error %v), want at most %d", DefaultWindow, size, err, limit)
	}
}

// BenchmarkAppend appends to full windows in batches of one event per user.
func BenchmarkAppend(b *testing.B) {
	s := newStore(b, Options{})
	const users = 100
	batch := make([]UserEvents, users)
	for i := range batch {
		events := randomEvents(rand.New(rand.NewPCG(0, 3)), DefaultWindow)
		batch[i] = UserEvents{User: fmt.Sprint("user-", i), Events: events}
	}
	if _, err := s.Append(b.Context(), batch); err != nil {
		b.Fatal(err)
	}
	ms := int64(1_800_000_000_000)
	for b.Loop() {
		ms++
		for i := range batch {
			batch[i].Events = []event.Event{eventAt(ms, fmt.Sprint("later-", ms))}
		}
		if _, err := s.Append(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(users*b.N)/b.Elapsed().Seconds(), "events/s")
}

// The credited version stays with its event, wherever that is inserted.
func TestSequencesKeepTheCreditedVersion(t *testing.T) {
	s := newStore(t, Options{Window: 3})
	for i, recID := range []string{"", "R7.v000002", "nobody knows", "R8.v000003"} {
		e := eventAt(int64(10-i), string(rune('a'+i))) // each before the others
		e.RecID = recID
		s.mustAppend(t, "ann", e)
	}
	var got []string
	for _, i := range s.sequence(t, "ann").Interactions {
		got = append(got, i.Item+" "+i.Type+" "+i.Credited)
	}
	const want = "item-of-c view ,item-of-b view v000002,item-of-a view "
	if strings.Join(got, ",") != want {
		t.Errorf("got %q, want %q", strings.Join(got, ","), want)
	}
}
