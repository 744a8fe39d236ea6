package inference

import (
	"context"
	"math"
	"slices"
	"testing"

	"genrec/pkg/stream"
	"genrec/pkg/userstate"
)

func (h *harness) awaitSwaps(r *running, n int64) {
	h.t.Helper()
	h.awaitCount(r, "activations", n, func(s Stats) int64 { return s.Swaps })
}

func TestActivationBetweenBatches(t *testing.T) {
	h := newHarness(t)
	h.models.publish("v1")
	started, resume := make(chan struct{}), make(chan struct{})
	h.models.hook = func(_ context.Context, requests []Request) error {
		if requests[0].User == "ann" {
			close(started)
			<-resume
		}
		return nil
	}
	r := h.run()
	h.produce(h.appendEvents("ann", "apple"))
	<-started
	h.models.publish("v2")
	h.eventually(func() string {
		if !slices.Equal(h.models.loaded(), []string{"v1", "v2"}) {
			return "the new version was not loaded while a batch was generated"
		}
		return ""
	})
	h.wantOpen("v1", "v2")
	close(resume)
	h.awaitSwaps(r, 2)
	h.produce(h.appendEvents("bob", "bread"))
	h.awaitWritten(r, 2)

	h.wantList("ann", "v1:apple")
	h.wantList("bob", "v2:bread")
	h.wantOpen("v2")
	popular, err := h.store.List(t.Context(), "unknown")
	if err != nil {
		t.Fatal(err)
	}
	if popular.Source != userstate.SourcePopular || popular.ModelVersion != "v2" || popular.Items[0].Item != "v2:popular" || popular.RecID == "" {
		t.Errorf("the fallback is %+v, want the popular items of v2", popular)
	}
	h.wantSimilar("v2:similar")
	r.Stop()
	h.wantOpen()
}

func TestNewModelReplacesLists(t *testing.T) {
	h := newHarness(t)
	h.models.publish("v1")
	r := h.run()
	refresh := h.appendEvents("ann", "apple")
	h.produce(refresh)
	h.awaitWritten(r, 1)
	h.models.publish("v2")
	h.awaitSwaps(r, 2)
	h.produce(refresh)
	h.awaitWritten(r, 2)
	h.models.publish("v1") // rollback
	h.awaitSwaps(r, 3)
	h.produce(refresh)
	h.awaitWritten(r, 3)
	r.Stop()
	h.wantList("ann", "v1:apple")
}

func TestBrokenModelIsRefusedOnce(t *testing.T) {
	h := newHarness(t)
	h.models.broken = map[string]bool{"v2": true}
	h.models.publish("v1")
	r := h.run()
	h.awaitSwaps(r, 1)
	h.models.publish("v2")
	h.awaitPolls(20)
	h.produce(h.appendEvents("ann", "apple"))
	h.awaitWritten(r, 1)
	h.wantList("ann", "v1:apple")

	h.models.publish("v3")
	h.awaitSwaps(r, 2)
	r.Stop()
	if got, want := h.models.loaded(), []string{"v1", "v2", "v3"}; !slices.Equal(got, want) {
		t.Errorf("the versions %v were loaded, want %v", got, want)
	}
}

func TestInvalidScores(t *testing.T) {
	h := newHarness(t)
	h.models.publish("v1")
	r := h.run()
	h.awaitSwaps(r, 1)
	h.models.mu.Lock()
	h.models.generators[0].score = math.NaN()
	h.models.mu.Unlock()
	h.produce(h.appendEvents("ann", "apple"))
	h.awaitCommitted(1)
	r.Stop()
	if m := h.deadLetter(); header(m, stream.HeaderReason) != ReasonGenerateFailed {
		t.Errorf("got headers %v, want reason %s", m.Headers, ReasonGenerateFailed)
	}
	for _, score := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if checkScores([]userstate.ScoredItem{{Item: "a"}, {Item: "b", Score: score}}) == nil {
			t.Errorf("score %v passes, but JSON cannot represent it", score)
		}
	}
}
