package inference

import (
	"testing"
	"time"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/recs"
	"genrec/pkg/userstate"
)

// Shared keys that Redis has lost are restored without a restart.
func TestLostSharedKeysAreRestored(t *testing.T) {
	h := newHarness(t)
	if err := h.store.ClaimFormat(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.models.publish("v1")
	r := h.run(func(c *Config) { c.restoreEvery = 10 * time.Millisecond })
	h.awaitSwaps(r, 1)
	h.wantSimilar("v1:similar")
	keys := userstate.Keys{Prefix: recs.DefaultPrefix}
	checkComplete := func() {
		t.Helper()
		h.wantSimilar("v1:similar")
		embeddedtest.Eventually(t, func() string {
			if found, err := h.store.SharedKeys(t.Context()); err != nil || !found.Popular || !found.Similar || !found.Format {
				return "Redis lacks some keys"
			}
			return ""
		})
		popular, err := h.store.List(t.Context(), "stranger")
		if err != nil || popular.ModelVersion != "v1" || popular.Items[0].Item != "v1:popular" {
			t.Errorf("users without a list get %+v (error %v), want the popular items of v1", popular, err)
		}
	}
	for range 2 {
		if err := h.rdb.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		checkComplete()
	}
	if err := h.rdb.Del(t.Context(), keys.Similar()).Err(); err != nil {
		t.Fatal(err)
	}
	checkComplete()
	h.models.publish("v2")
	h.awaitSwaps(r, 2)
	if err := h.rdb.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	h.wantSimilar("v2:similar")
}
