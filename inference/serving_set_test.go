package inference

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"genrec/pkg/registry"
	"genrec/pkg/userstate"
)

func TestSplitAmongVersions(t *testing.T) {
	h := newHarness(t)
	h.models.split(t, "v1:70 v2:30")
	shares, _ := h.models.Serving(t.Context())
	r := h.run()
	h.awaitSwaps(r, 1)
	const users = 40
	countByVersion := func() map[string]int {
		counts := make(map[string]int)
		for i := range users {
			user := fmt.Sprint("u", i)
			recs, err := h.store.Lists(t.Context(), []string{user})
			if err != nil {
				t.Fatal(err)
			}
			version := recs[0].ModelVersion
			counts[version]++
			if named := userstate.VersionOf(recs[0].RecID); named != version || !strings.HasPrefix(recs[0].Items[0].Item, version+":") {
				t.Fatalf("%s has %+v: rec_id, model_version and items must name one version", user, recs[0])
			}
			if want := registry.VersionFor(shares, user); version != want && !h.models.broken[want] {
				t.Fatalf("%s has a list of %s, but is assigned to %s", user, version, want)
			}
		}
		return counts
	}
	for i := range users {
		h.produce(h.appendEvents(fmt.Sprint("u", i), "apple"))
	}
	h.awaitWritten(r, users)
	before := countByVersion()
	if before["v1"] <= before["v2"] || before["v2"] == 0 {
		t.Errorf("%v users each, want most with v1 and some with v2", before)
	}
	h.wantOpen("v1", "v2")

	// The version that replaces v2 is broken: the largest share serves its users.
	h.models.mu.Lock()
	h.models.broken = map[string]bool{"v3": true}
	h.models.mu.Unlock()
	h.models.split(t, "v1:70 v3:30")
	shares, _ = h.models.Serving(t.Context())
	h.awaitSwaps(r, 2)
	for i := range users {
		h.produce(h.appendEvents(fmt.Sprint("u", i), "bread"))
	}
	h.awaitWritten(r, 2*users)
	if got := countByVersion(); !maps.Equal(got, map[string]int{"v1": users}) {
		t.Errorf("%v users each, want all by v1", got)
	}
	h.wantOpen("v1")
	r.Stop()
	h.wantOpen()
	if s := r.Stats(); s.Refused != 1 || s.Failed != 0 {
		t.Errorf("got %+v, want one version refused and no user failed", s)
	}
}

// TestActivationsUnderLoad changes the serving set many times while events arrive, every third time
// to a version that is broken in some way.
func TestActivationsUnderLoad(t *testing.T) {
	h := newHarness(t)
	h.models.publish("v0")
	h.models.broken = map[string]bool{"unreadable": true}
	h.models.scores = map[string]float64{"nan": math.NaN(), "infinite": math.Inf(1)}
	h.models.empty = map[string]bool{"empty": true}
	r := h.run()
	h.awaitSwaps(r, 1)
	const rounds, users = 30, 20
	swaps, refused := int64(1), int64(0)
	for i := 1; i <= rounds; i++ {
		for u := range users {
			h.produce(h.appendEvents(fmt.Sprint("u", u), fmt.Sprint("item", i)))
		}
		switch i % 3 {
		case 0:
			h.models.publish([]string{"unreadable", "nan", "infinite", "empty"}[i/3%4])
			refused++
			h.awaitCount(r, "refused versions", refused, func(s Stats) int64 { return s.Refused })
		case 1:
			h.models.publish(fmt.Sprint("v", i))
			swaps++
		default:
			h.models.split(t, fmt.Sprintf("v%d:50 v%d:50", i-1, i))
			swaps++
		}
		h.awaitSwaps(r, swaps)
	}
	h.awaitCommitted(rounds * users)
	r.Stop()
	if s := r.Stats(); s.Failed != 0 || s.Swaps != swaps || s.Refused != refused {
		t.Errorf("got %+v, want no failure, %d swaps and %d refused", s, swaps, refused)
	}
	if n := h.countDeadLetters(); n != 0 {
		t.Errorf("%d refreshes were dead-lettered", n)
	}
	h.wantOpen()
	sequences, err := h.store.Sequences(t.Context(), []string{"u0"})
	if err != nil {
		t.Fatal(err)
	}
	recs, err := h.store.Lists(t.Context(), []string{"u0"})
	if err != nil || recs[0].SequenceVersion != sequences[0].Version {
		t.Errorf("the list of u0 is of sequence version %d (error %v), want %d", recs[0].SequenceVersion, err, sequences[0].Version)
	}
}

func TestRefusedVersionsAreRetried(t *testing.T) {
	h := newHarness(t)
	l := modelLoader{run: New(Config{Kafka: h.kafka()}, h.models, h.store).open(), refused: make(map[string]time.Time)}
	t.Cleanup(func() { _ = l.run.close() })
	ctx := t.Context()
	h.models.broken = map[string]bool{"v2": true}
	shares := []registry.Share{{Version: "v1", Percent: 40}, {Version: "v2", Percent: 60}}
	for range 3 {
		if err := l.update(ctx, shares); err != nil {
			t.Fatal(err)
		}
	}
	if s := l.active.set; s.leader != "v1" || len(s.models) != 1 || s.versionFor("anybody") != "v1" {
		t.Errorf("got %v, want v1 alone", s)
	}
	if got := h.models.loaded(); !slices.Equal(got, []string{"v1", "v2"}) {
		t.Errorf("loaded %v, want each once", got)
	}
	h.models.broken = nil
	l.refused["v2"] = time.Now().Add(-retryLoadAfter)
	if err := l.update(ctx, shares); err != nil {
		t.Fatal(err)
	}
	both := l.active.set
	if both.leader != "v2" || len(both.models) != 2 || l.Stats().Swaps != 2 {
		t.Errorf("got %v after %d swaps, want both, led by v2, and one more activation", both, l.Stats().Swaps)
	}
	h.models.broken = map[string]bool{"v3": true}
	if err := l.update(ctx, []registry.Share{{Version: "v3", Percent: 100}}); err != nil || l.active.set != both {
		t.Errorf("a broken version was activated (error %v)", err)
	}
	l.close(ctx)
}
