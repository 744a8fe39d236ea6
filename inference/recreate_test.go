package inference

import (
	"testing"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/stream"
)

// The topic of refreshes is deleted while it runs: it goes on without a restart when it is there
// again.
func TestDeletedTopics(t *testing.T) {
	h := newHarness(t)
	h.models.publish("v1")
	r := h.run()
	keeper := stream.NewTopicWatcher(h.kafka(), h.topics, 2, r.cfg.Logger)
	service := embeddedtest.Run(t, keeper.Run)
	defer service.Stop()
	h.produce(h.see("ann", "apple"), h.see("bob", "bread"))
	h.written(r, 2)
	h.servers.Delete(h.topics.Refreshes, h.topics.DeadLetters)
	w := stream.NewWriter(h.kafka(), h.topics.Refreshes)
	defer w.Close()
	if err := stream.Publish(t.Context(), r.cfg.Logger, w, h.see("ann", "curd"), h.see("cid", "curd")); err != nil { // once it is there again
		t.Fatal(err)
	}
	h.written(r, 4)
	h.wantRecommended("ann", "v1:apple curd")
	h.wantRecommended("cid", "v1:curd")
}
