package demo

import (
	"fmt"
	"time"

	"genrec/cmd/genrec/demo/shop"
	"genrec/pkg/event"
)

// Size of the generated shop.
const (
	syntheticUsers = 4000
	syntheticItems = shop.MaxItems
)

// Synthetic generates a shop by a seed, and what happened there until end. No item occurs
// twice in a history.
func Synthetic(seed int64, end time.Time) (events []event.Event, items []shop.Item) {
	s := shop.New(seed, syntheticItems)
	clock := newClock(seed, end)
	for u := range syntheticUsers {
		events = append(events, clock.spread(fmt.Sprintf("user-%04d", u), s.History())...)
	}
	return inTimeOrder(events), s.Items()
}
