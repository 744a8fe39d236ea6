package sessions

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"genrec/pkg/userstate"
)

func TestMissingKeysOfAllUsers(t *testing.T) {
	rdb := newClient(t)
	s := open(t, rdb, Options{Prefix: "p"})
	missing := func(near bool) []string {
		t.Helper()
		found, err := s.SharedKeys(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s.MissingKeys(found, near)
	}
	if got, want := missing(true), []string{"popular items (p:popular)", "similar items (p:near)", "the format (p:format)"}; !slices.Equal(got, want) {
		t.Errorf("an empty Redis lacks %q, want %q", got, want)
	}
	near := maps.All(map[string]userstate.SimilarItems{"a": {{Item: "b", Score: 1}}})
	if err := errors.Join(s.ClaimFormat(t.Context()), s.PutPopular(t.Context(), userstate.List{RecID: "r"}), s.PutSimilar(t.Context(), near)); err != nil {
		t.Fatal(err)
	}
	if got := missing(true); len(got) > 0 {
		t.Errorf("a Redis with all keys lacks %q", got)
	}
	rdb.Del(t.Context(), "p:near")
	if got := missing(true); !slices.Equal(got, []string{"similar items (p:near)"}) {
		t.Errorf("without similar items it lacks %q", got)
	}
	if got := missing(false); len(got) > 0 {
		t.Errorf("of a model without similar items it lacks %q", got)
	}
}

// A probe leaves nothing, and no scan sees what it writes.
func TestProbe(t *testing.T) {
	rdb := newClient(t)
	s := open(t, rdb, Options{})
	users := probedUsers()
	if err := s.writeAndRead(t.Context(), users); err != nil {
		t.Fatal(err)
	}
	if sequences, err := s.Sequences(t.Context(), users); err != nil || len(sequences[0].Interactions) != 2 {
		t.Fatalf("the probe has written %+v (error %v), want two events", sequences[0], err)
	}
	if _, err := s.Scan(t.Context(), func(sequence Sequence) error { t.Errorf("a scan sees %q", sequence.User); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.remove(t.Context(), users, false); err != nil {
		t.Fatal(err)
	}
	if err := s.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if keys := rdb.Keys(t.Context(), "*").Val(); len(keys) > 0 {
		t.Errorf("it leaves %q", keys)
	}
}
