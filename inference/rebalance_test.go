package inference

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/stream"
)

// TestRebalance lets a second worker join and the first one leave while both are busy.
func TestRebalance(t *testing.T) {
	h := newHarness(t)
	h.models.publish("v1")
	const users = 60
	produce := func(from, to int) {
		for u := from; u < to; u++ {
			h.produce(h.appendEvents(fmt.Sprint("user-", u), "apple"))
		}
	}
	small := func(c *Config) { c.MaxBatch = 2 }

	first := h.run(small)
	produce(0, users/3)
	h.awaitWritten(first, 1)
	second := h.run(small)
	produce(users/3, 2*users/3)
	h.eventually(func() string {
		if h.servers.Members(DefaultGroup) != 2 {
			return "the second worker did not join the group"
		}
		return ""
	})
	first.Stop()
	produce(2*users/3, users)

	h.awaitCommitted(users)
	second.Stop()
	for u := range users {
		h.wantList(fmt.Sprint("user-", u), "v1:apple")
	}
	h.wantOpen()
	if n := h.countDeadLetters(); n != 0 {
		t.Errorf("%d refreshes were dead-lettered", n)
	}
}

// A worker whose partitions are revoked while it generates still writes the lists, but does not commit
// the offsets of these partitions.
func TestRevokedPartitionsAreNotCommitted(t *testing.T) {
	h := newHarness(t)
	h.models.publish("v1")
	h.models.concurrency = 4
	partitions := len(h.servers.Ends(h.topics.Refreshes))
	var messages []kafka.Message // one for each partition
	for u, found := 0, make(map[int]bool); len(found) < partitions; u++ {
		user := fmt.Sprint("user-", u)
		all := make([]int, partitions)
		for i := range all {
			all[i] = i
		}
		if p := (&kafka.Hash{}).Balance(kafka.Message{Key: []byte(user)}, all...); !found[p] {
			found[p] = true
			messages = append(messages, h.appendEvents(user, "apple"))
		}
	}
	release := make(chan struct{})
	hold := func(until <-chan struct{}, held *atomic.Int64) func(context.Context, []Request) error {
		return func(ctx context.Context, requests []Request) error {
			held.Add(int64(len(requests)))
			select {
			case <-until:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	var byFirst, bySecond atomic.Int64
	h.models.hook = hold(release, &byFirst)
	first := h.run()
	h.produce(messages...)
	h.eventually(func() string {
		if n := byFirst.Load(); n < int64(partitions) {
			return fmt.Sprintf("the first worker generates for %d of %d users", n, partitions)
		}
		return ""
	})

	h.models = &fakeModels{concurrency: 4, hook: hold(nil, &bySecond)} // blocks forever
	h.models.publish("v1")
	second := h.run()
	h.eventually(func() string {
		if bySecond.Load() == 0 {
			return "the second worker got no partition with work"
		}
		return ""
	})
	lost := bySecond.Load()
	close(release)
	h.awaitWritten(first, int64(partitions))
	kept := int64(partitions) - lost
	h.awaitCommitted(kept)
	time.Sleep(3 * stream.CommitInterval) // time for a wrong commit
	if got := h.committed(); got != kept {
		t.Errorf("%d messages are committed, but the first worker owns %d partitions of %d", got, kept, partitions)
	}
	second.Stop()
	first.Stop()
}
