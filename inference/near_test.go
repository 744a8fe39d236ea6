package inference

import (
	"testing"
	"time"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/recs"
	"genrec/pkg/userstate"
)

// What Redis has lost of what is there for all users comes back without a restart.
func TestLostKeysAreRestored(t *testing.T) {
	h := newHarness(t)
	if err := h.store.ClaimFormat(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.models.publish("v1")
	r := h.run(func(c *Config) { c.restoreEvery = 10 * time.Millisecond })
	h.swapped(r, 1)
	h.wantNear("v1:near")
	keys := userstate.Keys{Prefix: recs.DefaultPrefix}
	whole := func() {
		t.Helper()
		h.wantNear("v1:near")
		embeddedtest.Eventually(t, func() string {
			if found, err := h.store.SharedKeys(t.Context()); err != nil || !found.Popular || !found.Similar || !found.Format {
				return "Redis lacks some keys"
			}
			return ""
		})
		popular, err := h.store.List(t.Context(), "stranger")
		if err != nil || popular.ModelVersion != "v1" || popular.Items[0].Item != "v1:popular" {
			t.Errorf("strangers get %+v (error %v), want the popular items of v1", popular, err)
		}
	}
	for range 2 {
		if err := h.rdb.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		whole()
	}
	if err := h.rdb.Del(t.Context(), keys.Similar()).Err(); err != nil {
		t.Fatal(err)
	}
	whole()
	h.models.publish("v2")
	h.swapped(r, 2)
	if err := h.rdb.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	h.wantNear("v2:near")
}
