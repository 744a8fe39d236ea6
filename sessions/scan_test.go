package sessions

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
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
	_, err := s.Scan(t.Context(), func(sequence Sequence) error {
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
	if _, err := s.Walk(t.Context(), func(sequence Sequence) error { walked[sequence.User] = true; return nil }); err != nil || len(walked) != users {
		t.Errorf("Walk visited %d users (error %v), want %d", len(walked), err, users)
	}

	seen := 0
	if _, err := other.Scan(t.Context(), func(Sequence) error { seen++; return nil }); err != nil || seen != 1 {
		t.Errorf("the store with * in its prefix visited %d users (error %v), want only its own", seen, err)
	}
}

func TestScanIgnoresRepeatedKeys(t *testing.T) {
	s := newStore(t, Options{})
	s.mustAppend(t, "ann", eventAt(1, "e1"))
	s.mustAppend(t, "bob", eventAt(1, "e1"))
	visits := make(map[string]int)
	seen := make(userSet)
	for range 2 { // repeated keys look like those of a second scan
		if _, err := s.scan(t.Context(), seen.add, func(sequence Sequence) error { visits[sequence.User]++; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if visits["ann"] != 1 || visits["bob"] != 1 || len(visits) != 2 {
		t.Errorf("visits are %v, want one of each user", visits)
	}
}

func TestScanStopsAtAnError(t *testing.T) {
	s := newStore(t, Options{})
	s.mustAppend(t, "ann", eventAt(1, "e1"))
	s.mustAppend(t, "bob", eventAt(1, "e1"))
	broken := errors.New("broken")
	visits := 0
	_, err := s.Scan(t.Context(), func(Sequence) error { visits++; return broken })
	if !errors.Is(err, broken) || visits != 1 {
		t.Errorf("got error %v after %d visits, want fn's error after the first", err, visits)
	}
}

func TestScanSkipsUnreadableSequences(t *testing.T) {
	var logged bytes.Buffer
	s := newStore(t, Options{Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	for i := range 20 {
		s.mustAppend(t, fmt.Sprint("user-", i), eventAt(1, "e1"))
	}
	breakSequence(t, s, "user-3", false)
	breakSequence(t, s, "user-7", true)
	for name, scan := range map[string]func(context.Context, func(Sequence) error) (int64, error){"Scan": s.Scan, "Walk": s.Walk} {
		logged.Reset()
		visited := make(map[string]bool)
		skipped, err := scan(t.Context(), func(sequence Sequence) error { visited[sequence.User] = true; return nil })
		if err != nil || skipped != 2 || len(visited) != 18 {
			t.Errorf("%s visited %d users and skipped %d (error %v), want 18 and 2", name, len(visited), skipped, err)
		}
		for _, user := range []string{"user-3", "user-7"} {
			if n := strings.Count(logged.String(), "user="+user+" "); n != 1 {
				t.Errorf("%s logged %q %d times, want once:\n%s", name, user, n, &logged)
			}
		}
	}
}

// A Redis full of another program's data must not flood the log.
func TestScanLimitsItsLog(t *testing.T) {
	var logged bytes.Buffer
	s := newStore(t, Options{Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	const users = maxSkippedLogged + 50
	for i := range users {
		breakSequence(t, s, fmt.Sprint("user-", i), false)
	}
	skipped, err := s.Scan(t.Context(), func(Sequence) error { return nil })
	if lines := strings.Count(logged.String(), "\n"); err != nil || skipped != users || lines != maxSkippedLogged+1 {
		t.Errorf("%d users were skipped with %d lines (error %v), want %d and %d", skipped, lines, err, users, maxSkippedLogged+1)
	}
}
