package sessions

import (
	"context"
	"fmt"
	"iter"
	"testing"

	"genrec/pkg/userstate"
)

func neighbors(items int, of string) iter.Seq2[string, userstate.SimilarItems] {
	return func(yield func(string, userstate.SimilarItems) bool) {
		for i := range items {
			if !yield(fmt.Sprint("item-", i), userstate.SimilarItems{{Item: of, Score: 1}}) {
				return
			}
		}
	}
}

// What is popular near items changes at once, and what a kill leaves behind expires.
func TestNearIsReplacedAtOnce(t *testing.T) {
	s := newStore(t, Options{})
	key := s.keys.Similar()
	want := func(items int64, of string) {
		t.Helper()
		n, err := s.rdb.HLen(t.Context(), key).Result()
		if err != nil || n != items {
			t.Errorf("%s has %d items (%v), want %d", key, n, err, items)
		}
		near, err := userstate.DecodeSimilar([]byte(s.rdb.HGet(t.Context(), key, "item-0").Val()))
		if items > 0 && (err != nil || len(near) != 1 || near[0].Item != of) {
			t.Errorf("near item-0 there is %v (%v), want %s", near, err, of)
		}
		if ttl := s.rdb.TTL(t.Context(), key).Val(); items > 0 && ttl != -1 {
			t.Errorf("%s expires in %v, want never", key, ttl)
		}
	}
	if err := s.PutSimilar(t.Context(), neighbors(nearAtOnce+7, "hat")); err != nil {
		t.Fatal(err)
	}
	want(nearAtOnce+7, "hat")

	ctx, cancel := context.WithCancel(t.Context())
	err := s.PutSimilar(ctx, func(yield func(string, userstate.SimilarItems) bool) {
		for item, near := range neighbors(2*nearAtOnce, "coat") {
			if !yield(item, near) {
				return
			}
			if item == fmt.Sprint("item-", nearAtOnce+1) {
				cancel()
			}
		}
	})
	if err == nil {
		t.Fatal("a write that was ended halfway has no error")
	}
	want(nearAtOnce+7, "hat")
	left, err := s.rdb.Keys(t.Context(), key+":*").Result()
	if err != nil || len(left) != 1 || s.rdb.TTL(t.Context(), left[0]).Val() <= 0 {
		t.Errorf("a write that was ended halfway left %v (%v), want one key that expires", left, err)
	}

	if err := s.PutSimilar(t.Context(), neighbors(3, "coat")); err != nil {
		t.Fatal(err)
	}
	want(3, "coat")
	if err := s.PutSimilar(t.Context(), neighbors(0, "")); err != nil {
		t.Fatal(err)
	}
	want(0, "")
}
