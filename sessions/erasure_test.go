package sessions

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"genrec/pkg/event"
	"genrec/pkg/userstate"
)

var erasedAt = time.UnixMilli(10_000).UTC()

func (s *Store) mustForget(tb testing.TB, user string) (found bool) {
	tb.Helper()
	all, err := s.Forget(tb.Context(), []string{user}, erasedAt)
	if err != nil {
		tb.Fatal(err)
	}
	return all[0]
}

func TestForgetDeletesUser(t *testing.T) {
	s := newStore(t, Options{})
	s.mustAppend(t, "ann", eventAt(1, "e1"))
	s.mustAppend(t, "bob", eventAt(1, "e1"))
	r := sample("ann")
	r.SequenceVersion = 1
	s.mustPut(t, r)
	if !s.mustForget(t, "ann") {
		t.Error("Forget found nothing of ann")
	}
	if s.mustForget(t, "ann") || s.mustForget(t, "nobody") {
		t.Error("Forget found data of a user that has none")
	}
	if got := s.sequence(t, "ann"); got.Version != 0 || len(got.Interactions) != 0 {
		t.Errorf("the sequence is %+v, want none", got)
	}
	if got, err := s.Lists(t.Context(), []string{"ann"}); err != nil || got[0].RecID != "" {
		t.Errorf("the recommendations are %+v (error %v), want none", got[0], err)
	}
	if got := s.sequence(t, "bob"); len(got.Interactions) != 1 {
		t.Errorf("the sequence of bob is %+v, want it untouched", got)
	}
	keys, err := s.rdb.Keys(t.Context(), s.opts.Prefix+":*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		if strings.Contains(key, "ann") {
			t.Errorf("the key %q still contains the user's ID", key)
		}
	}
}

func TestReplayDoesNotRestoreAForgottenUser(t *testing.T) {
	s := newStore(t, Options{})
	old := []event.Event{eventAt(1, "e1"), eventAt(2, "e2"), eventAt(erasedAt.UnixMilli(), "e3")}
	s.mustAppend(t, "ann", old...)
	s.mustForget(t, "ann")
	for range 2 {
		if a := s.mustAppend(t, "ann", old...); a.Added != 0 {
			t.Fatalf("a replay of old events added %d", a.Added)
		}
	}
	if got := s.sequence(t, "ann"); len(got.Interactions) != 0 {
		t.Fatalf("the sequence is %+v after a replay, want none", got)
	}

	// The user returns while old events are still replayed.
	back := eventAt(erasedAt.UnixMilli()+1, "e4")
	if a := s.mustAppend(t, "ann", append(old, back)...); a.Added != 1 || a.Version != 4 {
		t.Errorf("got %+v, want one event added, and version 4 after the 3 before the erasure", a)
	}
	if a := s.mustAppend(t, "ann", old...); a.Added != 0 {
		t.Errorf("a replay after the return added %d", a.Added)
	}
	if got := s.sequence(t, "ann").Interactions; len(got) != 1 || got[0].EventID != "e4" {
		t.Errorf("the sequence is %+v, want only the new event", got)
	}
}

// The clock of a producer may be ahead of the one that dates the erasure.
func TestErasureCoversEventsOfFastClocks(t *testing.T) {
	s := newStore(t, Options{})
	ahead := eventAt(erasedAt.UnixMilli()+60_000, "e1")
	s.mustAppend(t, "ann", ahead)
	s.mustForget(t, "ann")
	if a := s.mustAppend(t, "ann", ahead); a.Added != 0 {
		t.Error("an event from before the erasure was appended")
	}
	erased, err := s.Erasures(t.Context(), []string{"nobody", "ann"})
	if err != nil || !erased[0].IsZero() || !erased[1].Equal(ahead.Time) {
		t.Errorf("the erasures are %v (error %v), want none and %v", erased, err, ahead.Time)
	}
	s.mustForget(t, "ann")
	if a := s.mustAppend(t, "ann", ahead); a.Added != 0 {
		t.Error("a second Forget moved the erasure back")
	}
}

// A list generated before an erasure must not be written after it.
func TestListOfErasedSequenceIsNotWritten(t *testing.T) {
	s := newStore(t, Options{})
	s.mustAppend(t, "ann", eventAt(1, "e1"), eventAt(2, "e2"))
	r := sample("ann")
	r.SequenceVersion = 2
	s.mustForget(t, "ann")
	if s.mustPut(t, r) {
		t.Error("the list was written after the erasure")
	}
	a := s.mustAppend(t, "ann", eventAt(erasedAt.UnixMilli()+1, "e3"))
	if s.mustPut(t, r) {
		t.Error("the list was written after the user had returned")
	}
	r.SequenceVersion = a.Version
	if !s.mustPut(t, r) {
		t.Error("the list of the new sequence was rejected")
	}
	s.mustForget(t, "ann")
	s.mustForget(t, "ann")
	if a := s.mustAppend(t, "ann", eventAt(erasedAt.UnixMilli()+2, "e4")); a.Version != r.SequenceVersion+1 {
		t.Errorf("the version after the second erasure is %d, want the one after %d", a.Version, r.SequenceVersion)
	}
}

// Forget repairs a user whose data is unreadable.
func TestForgetRepairs(t *testing.T) {
	s := newStore(t, Options{})
	for name, stored := range map[string]string{
		"short":                          "x",
		"a text":                         "what no Store writes, and long enough for a footer",
		"digits that end in year 4500":   strings.Repeat("0", 40) + "sssssssss",
		"more entries than it counts":    "\x1ee1\x1f000000001hat\x1fv" + "\x1ee2\x1f000000001hat\x1fv" + "00000007001000000" + "sssssssss",
		"entries after more than it has": "\x1ee1\x1f000000001hat\x1fv" + "00000007001ffffff" + "sssssssss",
	} {
		if err := s.rdb.Set(t.Context(), s.keys.Sequence("ann"), stored, 0).Err(); err != nil {
			t.Fatal(err)
		}
		if !s.mustForget(t, "ann") {
			t.Errorf("%s: nothing was found", name)
		}
		if erased, err := s.Erasures(t.Context(), []string{"ann"}); err != nil || !erased[0].Equal(erasedAt) {
			t.Errorf("%s: the erasure is up to %v (error %v), want %v", name, erased, err, erasedAt)
		}
	}
	breakSequence(t, s, "ann", true)
	if !s.mustForget(t, "ann") {
		t.Error("a key of another type was not found")
	}
	for _, stored := range []string{"", "7", "yesterday 3", "-1 -1"} {
		if err := s.rdb.Set(t.Context(), s.keys.Erasure("ann"), stored, 0).Err(); err != nil {
			t.Fatal(err)
		}
		s.mustForget(t, "ann")
		if erased, err := s.Erasures(t.Context(), []string{"ann"}); err != nil || !erased[0].Equal(erasedAt) {
			t.Errorf("after %q the erasure is up to %v (error %v), want %v", stored, erased, err, erasedAt)
		}
	}
	if a := s.mustAppend(t, "ann", eventAt(erasedAt.UnixMilli()+1, "e4")); a.Added != 1 {
		t.Errorf("got %+v, want the new event added", a)
	}
}

// An unreadable erasure restores no user and blocks no other.
func TestUnreadableErasures(t *testing.T) {
	var logged bytes.Buffer
	s := newStore(t, Options{Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	s.mustForget(t, "bob")
	if err := errors.Join(
		s.rdb.Set(t.Context(), s.keys.Erasure("ann"), "yesterday", 0).Err(),
		s.rdb.HSet(t.Context(), s.keys.Erasure("cid"), "field", "value").Err(),
	); err != nil {
		t.Fatal(err)
	}
	erased, err := s.Erasures(t.Context(), []string{"ann", "bob", "cid", "dan"})
	if err != nil || !erased[0].Equal(userstate.Forever) || !erased[1].Equal(erasedAt) || !erased[2].Equal(userstate.Forever) || !erased[3].IsZero() {
		t.Errorf("got %v, error %v; want all events of ann and cid erased, those of bob up to %v, and none of dan", erased, err, erasedAt)
	}
	for _, user := range []string{"ann", "cid"} {
		if !strings.Contains(logged.String(), "user="+user) {
			t.Errorf("%q is not logged:\n%s", user, &logged)
		}
	}
	appended, err := s.Append(t.Context(), []UserEvents{
		{User: "ann", Events: []event.Event{eventAt(1, "e1")}}, {User: "dan", Events: []event.Event{eventAt(1, "e1")}},
	})
	var unreadable UserErrors
	if !errors.As(err, &unreadable) || len(unreadable) != 1 || unreadable[0].User != "ann" || appended[1].Added != 1 {
		t.Errorf("got %+v, error %v; want dan's event added and ann reported", appended, err)
	}
}

func TestInactiveSequencesExpire(t *testing.T) {
	rdb := newClient(t)
	forever := open(t, rdb, Options{Window: 4})
	left := func() time.Duration {
		ttl, err := rdb.PTTL(t.Context(), forever.keys.Sequence("ann")).Result()
		if err != nil {
			t.Fatal(err)
		}
		return ttl
	}
	year := open(t, rdb, Options{Window: 4, Prefix: forever.opts.Prefix, SequenceTTL: 365 * 24 * time.Hour})
	for i := range int64(9) { // covers all cases of a full window
		year.mustAppend(t, "ann", eventAt(10+i, string(rune('a'+i))))
		if got := left(); got < 364*24*time.Hour || got > 365*24*time.Hour {
			t.Fatalf("after event %d the sequence expires in %v, want a year", i, got)
		}
	}
	for i := range int64(9) {
		forever.mustAppend(t, "ann", eventAt(100+i, string(rune('a'+i))))
		if got := left(); got != -1 {
			t.Fatalf("after event %d the TTL of the sequence is %v, want none", i, got)
		}
	}
}
