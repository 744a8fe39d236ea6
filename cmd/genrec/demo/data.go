package demo

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"genrec/cmd/genrec/demo/shop"
	"genrec/pkg/dataset"
	"genrec/pkg/event"
)

// span is the period over which the interactions of a dataset are spread.
const span = 180 * 24 * time.Hour

// Size of the generated shop.
const (
	syntheticUsers = 4000
	syntheticItems = shop.MaxItems
)

// Synthetic generates a shop and the events of its customers until end, by a random seed. No
// item occurs twice in the sequence of a user.
func Synthetic(seed int64, end time.Time) (events []event.Event, items []shop.Item) {
	s := shop.New(seed, syntheticItems)
	clock := newClock(seed, end)
	for u := range syntheticUsers {
		events = append(events, clock.spread(fmt.Sprintf("user-%04d", u), s.Sequence())...)
	}
	return inTimeOrder(events), s.Items()
}

// Load reads a dataset file as events until end. Such files have no timestamps: the first day
// of each user and the gaps between interactions are random, by the seed.
func Load(path string, seed int64, end time.Time) ([]event.Event, error) {
	users, err := dataset.Read(path)
	if err != nil {
		return nil, err
	}
	clock := newClock(seed, end)
	var events []event.Event
	for _, u := range users {
		events = append(events, clock.spread(u.ID, u.Items)...)
	}
	return inTimeOrder(events), nil
}

// clock draws random timestamps.
type clock struct {
	rng        *rand.Rand
	start, end time.Time
}

func newClock(seed int64, end time.Time) *clock {
	const clockStream = 11
	return &clock{rng: rand.New(rand.NewPCG(uint64(seed), clockStream)), start: end.Add(-span), end: end}
}

// spread gives the items of a user times between a random first time and the end.
func (c *clock) spread(user string, items []string) []event.Event {
	first := time.Duration(c.rng.Float64() * 0.9 * float64(span))
	gaps := make([]float64, len(items))
	total := 0.0
	for i := range gaps {
		total += c.rng.ExpFloat64()
		gaps[i] = total
	}
	total += c.rng.ExpFloat64() // the gap before the end
	events := make([]event.Event, len(items))
	for i, item := range items {
		offset := first + time.Duration(gaps[i]/total*float64(span-first))
		events[i] = event.Event{User: user, Item: item, Type: "view", Time: c.start.Add(offset).Truncate(time.Millisecond)}
	}
	return events
}

// inTimeOrder sorts events by time and gives them ids.
func inTimeOrder(events []event.Event) []event.Event {
	slices.SortStableFunc(events, func(a, b event.Event) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.User, b.User))
	})
	for i := range events {
		events[i].ID = "demo-" + strconv.Itoa(i+1)
	}
	return events
}
