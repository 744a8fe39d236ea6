package sessions

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

func TestScanVisitsEveryUserOnce(t *testing.T) {
	rdb := newClient(t)
	s := open(t, rdb, Options{})
	other := open(t, rdb, Options{Prefix: s.opts.Prefix + "*"})
	other.mustAppend(t, "stranger", eventAt(1, "e1"))
	if _, err := s.Forget(t.Context(), []string{"no-sequence"}, time.Now()); err != nil {
		t.Fatal(err)
	}

	const users = 3 * scanPage
	batch := make([]UserEvents, users)
	for i := range batch {
		batch[i] = UserEvents{User: fmt.Sprint("us}er{", i), Events: randomEvents(rand.New(rand.NewPCG(uint64(i), 4)), 1+i%3)}
	}
	if _, err := s.Append(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	visits := make(map[string]int)
	err := s.Scan(t.Context(), func(sequence Sequence) error {
		visits[sequence.User]++
		if n := len(sequence.Interactions); int64(n) != sequence.Version {
			return fmt.Errorf("user %q has version %d with %d interactions", sequence.User, sequence.Version, n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range batch {
		if visits[b.User] != 1 {
			t.Fatalf("user %q was visited %d times, want once", b.User, visits[b.User])
		}
	}
	if len(visits) != users {
		t.Errorf("%d users were visited, want %d", len(visits), users)
	}
	walked := make(map[string]bool)
	if err := s.Walk(t.Context(), func(sequence Sequence) error { walked[sequence.User] = true; return nil }); err != nil || len(walked) != users {
		t.Errorf("a walk comes to %d users (error %v), want %d", len(walked), err, users)
	}

	seen := 0
	if err := other.Scan(t.Context(), func(Sequence) error { seen++; return nil }); err != nil || seen != 1 {
		t.Errorf("the store with * in its prefix sees %d users (error %v), want its own one", seen, err)
	}
}

func TestScanIgnoresRepeatedKeys(t *testing.T) {
	s := newStore(t, Options{})
	s.mustAppend(t, "ann", eventAt(1, "e1"))
	s.mustAppend(t, "bob", eventAt(1, "e1"))
	visits := make(map[string]int)
	seen := make(userSet)
	for range 2 { // a repeated key looks like a second scan
		err := s.scanNode(t.Context(), s.rdb, seen.add, func(sequence Sequence) error {
			visits[sequence.User]++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if visits["ann"] != 1 || visits["bob"] != 1 || len(visits) != 2 {
		t.Errorf("got visits %v, want one of each user", visits)
	}
}

func TestScanStopsAtAnError(t *testing.T) {
	s := newStore(t, Options{})
	s.mustAppend(t, "ann", eventAt(1, "e1"))
	s.mustAppend(t, "bob", eventAt(1, "e1"))
	broken := errors.New("broken")
	visits := 0
	err := s.Scan(t.Context(), func(Sequence) error { visits++; return broken })
	if !errors.Is(err, broken) || visits != 1 {
		t.Errorf("got error %v after %d visits, want fn's error after the first", err, visits)
	}
}
