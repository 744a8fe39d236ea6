package demo

import (
	"strings"
	"sync"
	"time"

	"genrec/inference"
	"genrec/pkg/event"
)

const (
	watchedUsers = 4
	// A watched user's answers are shown at most so often, to stay readable.
	watchInterval = 2 * time.Second
	shownItems    = 5
)

// watch shows for a few users what each event changes.
type watch struct {
	say func(format string, values ...any)

	mu   sync.Mutex
	last map[string]event.Event // last event of each watched user
	said time.Time
}

// newWatch picks the users with the most live events.
func newWatch(live []event.Event, say func(string, ...any)) *watch {
	counts := make(map[string]int)
	for _, e := range live {
		counts[e.User]++
	}
	w := &watch{say: say, last: make(map[string]event.Event)}
	for range min(watchedUsers, len(counts)) {
		var busiest string
		for user, n := range counts {
			if n > counts[busiest] || n == counts[busiest] && user < busiest {
				busiest = user
			}
		}
		w.last[busiest] = event.Event{}
		delete(counts, busiest)
	}
	return w
}

func (w *watch) produced(e event.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, watched := w.last[e.User]; watched {
		w.last[e.User] = e
	}
}

func (w *watch) written(r inference.Written, took time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.last[r.Recommendations.User]
	if e.User == "" || time.Since(w.said) < watchInterval {
		return
	}
	w.said = time.Now()
	var items []string
	for _, item := range r.Recommendations.Items[:min(shownItems, len(r.Recommendations.Items))] {
		items = append(items, item.Item)
	}
	w.say("  user %s: %s %s -> now recommended: %s ... (%d ms, model %s)",
		e.User, e.Type, e.Item, strings.Join(items, " "), took.Milliseconds(), r.Recommendations.ModelVersion)
}
