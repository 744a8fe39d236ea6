package inference

import (
	"testing"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/stream"
)

// The worker continues without a restart after its topics were deleted and created again.
func TestDeletedTopics(t *testing.T) {
	h := newHarness(t)
	h.models.publish("v1")
	r := h.run()
	keeper := stream.NewTopicWatcher(h.kafka(), h.topics, 2, r.cfg.Logger)
	service := embeddedtest.Run(t, keeper.Run)
	defer service.Stop()
	h.produce(h.appendEvents("ann", "apple"), h.appendEvents("bob", "bread"))
	h.awaitWritten(r, 2)
	h.servers.Delete(h.topics.Refreshes, h.topics.DeadLetters)
	w := stream.NewWriter(h.kafka(), h.topics.Refreshes)
	defer w.Close()
	if err := stream.Publish(t.Context(), r.cfg.Logger, w, h.appendEvents("ann", "curd"), h.appendEvents("cid", "curd")); err != nil { // once the topic exists again
		t.Fatal(err)
	}
	h.awaitWritten(r, 4)
	h.wantList("ann", "v1:apple curd")
	h.wantList("cid", "v1:curd")
}
