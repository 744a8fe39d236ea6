package sessions

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"testing"

	"genrec/pkg/userstate"
)

func TestMissingKeys(t *testing.T) {
	rdb := newClient(t)
	s := open(t, rdb, Options{Prefix: "p"})
	missing := func(similar bool) []string {
		t.Helper()
		found, err := s.SharedKeys(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s.MissingKeys(found, similar)
	}
	if got, want := missing(true), []string{"popular items (p:popular)", "similar items (p:near)", "the format (p:format)"}; !slices.Equal(got, want) {
		t.Errorf("missing from an empty Redis: %q, want %q", got, want)
	}
	similar := maps.All(map[string]userstate.SimilarItems{"a": {{Item: "b", Score: 1}}})
	if err := errors.Join(s.ClaimFormat(t.Context()), s.PutPopular(t.Context(), userstate.List{RecID: "r"}), s.PutSimilar(t.Context(), similar)); err != nil {
		t.Fatal(err)
	}
	if got := missing(true); len(got) > 0 {
		t.Errorf("missing from a Redis with all keys: %q", got)
	}
	rdb.Del(t.Context(), "p:near")
	if got := missing(true); !slices.Equal(got, []string{"similar items (p:near)"}) {
		t.Errorf("missing without similar items: %q", got)
	}
	if got := missing(false); len(got) > 0 {
		t.Errorf("missing for a model without similar items: %q", got)
	}
}

func similarItems(items int, of string) iter.Seq2[string, userstate.SimilarItems] {
	return func(yield func(string, userstate.SimilarItems) bool) {
		for i := range items {
			if !yield(fmt.Sprint("item-", i), userstate.SimilarItems{{Item: of, Score: 1}}) {
				return
			}
		}
	}
}

// Readers see either the old or the new similar items, and the temporary key of a killed process expires.
func TestSimilarItemsAreReplacedAtomically(t *testing.T) {
	s := newStore(t, Options{})
	key := s.keys.Similar()
	want := func(items int64, of string) {
		t.Helper()
		n, err := s.rdb.HLen(t.Context(), key).Result()
		if err != nil || n != items {
			t.Errorf("%s has %d items (%v), want %d", key, n, err, items)
		}
		similar, err := userstate.DecodeSimilar([]byte(s.rdb.HGet(t.Context(), key, "item-0").Val()))
		if items > 0 && (err != nil || len(similar) != 1 || similar[0].Item != of) {
			t.Errorf("similar to item-0 are %v (%v), want %s", similar, err, of)
		}
		if ttl := s.rdb.TTL(t.Context(), key).Val(); items > 0 && ttl != -1 {
			t.Errorf("%s expires in %v, want never", key, ttl)
		}
	}
	if err := s.PutSimilar(t.Context(), similarItems(similarPerWrite+7, "hat")); err != nil {
		t.Fatal(err)
	}
	want(similarPerWrite+7, "hat")

	ctx, cancel := context.WithCancel(t.Context())
	err := s.PutSimilar(ctx, func(yield func(string, userstate.SimilarItems) bool) {
		for item, similar := range similarItems(2*similarPerWrite, "coat") {
			if !yield(item, similar) {
				return
			}
			if item == fmt.Sprint("item-", similarPerWrite+1) {
				cancel()
			}
		}
	})
	if err == nil {
		t.Fatal("a canceled write returned no error")
	}
	want(similarPerWrite+7, "hat")
	left, err := s.rdb.Keys(t.Context(), key+":*").Result()
	if err != nil || len(left) != 1 || s.rdb.TTL(t.Context(), left[0]).Val() <= 0 {
		t.Errorf("a canceled write left %v (%v), want one key that expires", left, err)
	}

	if err := s.PutSimilar(t.Context(), similarItems(3, "coat")); err != nil {
		t.Fatal(err)
	}
	want(3, "coat")
	if err := s.PutSimilar(t.Context(), similarItems(0, "")); err != nil {
		t.Fatal(err)
	}
	want(0, "")
}
