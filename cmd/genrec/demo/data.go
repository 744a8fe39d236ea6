package demo

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"genrec/pkg/dataset"
	"genrec/pkg/event"
)

// span is the time over which the interactions of a dataset are spread.
const span = 180 * 24 * time.Hour

// Load makes events of a dataset's file. Such files have no timestamps: each user
// gets a first day and gaps between interactions drawn by the seed. The ids stay
// opaque strings.
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

// clock draws timestamps.
type clock struct {
	rng        *rand.Rand
	start, end time.Time
}

func newClock(seed int64, end time.Time) *clock {
	const clockStream = 11
	return &clock{rng: rand.New(rand.NewPCG(uint64(seed), clockStream)), start: end.Add(-span), end: end}
}

// spread gives the items of a user times between a random first one and the end.
func (c *clock) spread(user string, items []string) []event.Event {
	first := time.Duration(c.rng.Float64() * 0.9 * float64(span))
	gaps := make([]float64, len(items))
	total := 0.0
	for i := range gaps {
		total += c.rng.ExpFloat64()
		gaps[i] = total
	}
	total += c.rng.ExpFloat64() // what is left until the end
	events := make([]event.Event, len(items))
	for i, item := range items {
		offset := first + time.Duration(gaps[i]/total*float64(span-first))
		events[i] = event.Event{User: user, Item: item, Type: "view", Time: c.start.Add(offset).Truncate(time.Millisecond)}
	}
	return events
}

// inTimeOrder sorts events and numbers them.
func inTimeOrder(events []event.Event) []event.Event {
	slices.SortStableFunc(events, func(a, b event.Event) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.User, b.User))
	})
	for i := range events {
		events[i].ID = "demo-" + strconv.Itoa(i+1)
	}
	return events
}
