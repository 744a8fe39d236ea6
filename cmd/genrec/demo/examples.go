package demo

import (
	"strings"
	"sync"
	"time"

	"genrec/inference"
	"genrec/pkg/event"
)

const (
	exampleUsers    = 4
	exampleInterval = 2 * time.Second // between two lines, so that people can read them
	exampleItems    = 5
)

// examples prints, for a few users, what they are recommended after an event.
type examples struct {
	say func(format string, values ...any)

	mu      sync.Mutex
	last    map[string]event.Event // last event of each example user
	printed time.Time
}

// newExamples picks the users with the most live events.
func newExamples(live []event.Event, say func(string, ...any)) *examples {
	counts := make(map[string]int)
	for _, e := range live {
		counts[e.User]++
	}
	x := &examples{say: say, last: make(map[string]event.Event)}
	for range min(exampleUsers, len(counts)) {
		var busiest string
		for user, n := range counts {
			if n > counts[busiest] || n == counts[busiest] && user < busiest {
				busiest = user
			}
		}
		x.last[busiest] = event.Event{}
		delete(counts, busiest)
	}
	return x
}

func (x *examples) produced(e event.Event) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, picked := x.last[e.User]; picked {
		x.last[e.User] = e
	}
}

func (x *examples) written(r inference.Written, took time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.last[r.Recommendations.User]
	if e.User == "" || time.Since(x.printed) < exampleInterval {
		return
	}
	x.printed = time.Now()
	var items []string
	for _, item := range r.Recommendations.Items[:min(exampleItems, len(r.Recommendations.Items))] {
		items = append(items, item.Item)
	}
	x.say("  user %s: %s %s -> now recommended: %s ... (%d ms, model %s)",
		e.User, e.Type, e.Item, strings.Join(items, " "), took.Milliseconds(), r.Recommendations.ModelVersion)
}
