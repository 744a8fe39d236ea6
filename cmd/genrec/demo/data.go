package demo

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"genrec/pkg/event"
)

// span is the time over which the interactions of a dataset are spread.
const span = 180 * 24 * time.Hour

// Load reads a file with one user a line, `user item item item ...`, items in
// chronological order. Such files have no timestamps: each user gets a first day
// and gaps between interactions drawn by the seed. The ids stay opaque strings.
func Load(path string, seed int64, end time.Time) ([]event.Event, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open dataset: %w", err)
	}
	defer file.Close()
	clock := newClock(seed, end)
	var events []event.Event
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	for number := 1; lines.Scan(); number++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 {
			continue
		}
		if len(fields) == 1 {
			return nil, fmt.Errorf("read dataset %s, line %d: user %q has no items; want `user item item ...`", path, number, fields[0])
		}
		events = append(events, clock.spread(fields[0], fields[1:])...)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read dataset %s: %w", path, err)
	}
	if len(events) == 0 {
		return nil, fmt.Errorf("read dataset %s: %w", path, errors.New("no lines"))
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
