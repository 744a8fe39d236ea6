package registry

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

func TestPruneKeepsVersionsInUse(t *testing.T) {
	r := open(t)
	var v []string
	for _, content := range []string{"a", "b", "c", "d", "e", "f"} {
		v = append(v, publish(t, r, content))
	}
	for _, shares := range [][]Share{allUsers(v[0]), {{v[1], 50}, {v[2], 50}}, allUsers(v[5]), allUsers(v[3])} {
		if err := r.PromoteShares(t.Context(), shares); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Rollback(t.Context()); err != nil { // to v[5]; v[1] and v[2] served before
		t.Fatal(err)
	}
	if removed, err := r.Prune(t.Context(), 0); err == nil {
		t.Fatalf("Prune(0) removed %v, want an error", removed)
	}
	removed, err := r.Prune(t.Context(), 2)
	if want := []string{v[0], v[3]}; err != nil || !slices.Equal(removed, want) {
		t.Fatalf("removed %v (%v), want %v", removed, err, want)
	}
	left, err := r.Versions(t.Context())
	if want := []string{v[1], v[2], v[4], v[5]}; err != nil || !slices.Equal(left, want) {
		t.Fatalf("left %v (%v), want %v", left, err, want)
	}
	for _, version := range left {
		if _, err := r.Fetch(t.Context(), version); err != nil {
			t.Error(err)
		}
	}
	if _, err := r.Fetch(t.Context(), v[0]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a removed version: error %v, want ErrNotExist", err)
	}
	if next := publish(t, r, "g"); next != "v000007" {
		t.Errorf("after a removal the next version is %s, want v000007", next)
	}
}

// If a promotion succeeds, the version still exists.
func TestConcurrentPruneAndPromotion(t *testing.T) {
	r := open(t)
	for round := range 30 {
		var versions []string
		for range 3 {
			versions = append(versions, publish(t, r, "x"))
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			version := versions[rand.IntN(2)]
			err := r.PromoteShares(t.Context(), allUsers(version))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("round %d: %v", round, err)
			}
			if _, fetched := r.Fetch(t.Context(), version); err == nil && fetched != nil {
				t.Errorf("round %d: %s serves, but %v", round, version, fetched)
			}
		})
		wg.Go(func() {
			if _, err := r.Prune(t.Context(), 1); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("round %d: %v", round, err)
			}
		})
		wg.Wait()
	}
}

func TestRemoveAbandonedDrafts(t *testing.T) {
	r := open(t)
	version := publish(t, r, "whole")
	living, err := r.Draft()
	if err != nil {
		t.Fatal(err)
	}
	defer living.Discard()
	killed, err := r.Draft()
	if err != nil {
		t.Fatal(err)
	}
	if err := killed.lock.Close(); err != nil { // as when its process ends
		t.Fatal(err)
	}
	exists := func(d *Draft) bool {
		_, err := os.Stat(d.Dir)
		return err == nil
	}
	if err := r.storage.removeAbandoned(t.Context(), time.Now().Add(-time.Hour)); err != nil || !exists(killed) {
		t.Errorf("a new draft was removed (%v)", err)
	}
	if err := r.storage.removeAbandoned(t.Context(), time.Now().Add(time.Hour)); err != nil || exists(killed) {
		t.Errorf("the draft of a killed process was not removed (%v)", err)
	}
	if !exists(living) {
		t.Error("the draft of a live process was removed")
	}
	if _, err := r.Fetch(t.Context(), version); err != nil {
		t.Error(err)
	}
}
