package stream

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"genrec/pkg/dataset"
	"genrec/pkg/event"
	"genrec/pkg/recs"
	"genrec/pkg/userstate"
	"genrec/sessions"
)

// workload generates events for the users of a dataset in random order, copied with new ids as often as needed.
// Users take turns, so that no user waits for two lists at a time and no refreshes coalesce.
type workload struct {
	users    []dataset.User
	items    []string // of all histories, with duplicates
	versions []int64  // expected versions of the sequences in Redis
	produced int      // number of events
	rng      *rand.Rand
}

func newWorkload(s settings) (*workload, error) {
	original, err := dataset.Read(s.data)
	if err != nil {
		return nil, fmt.Errorf("-data: %w", err)
	}
	if s.ids == "permuted" {
		original = dataset.Permute(original)
	}
	w := &workload{rng: rand.New(rand.NewPCG(1, 0)), versions: make([]int64, s.users)}
	for _, u := range original {
		w.items = append(w.items, u.Items...)
	}
	for i := range s.users {
		u := original[i%len(original)]
		if copied := i / len(original); copied > 0 {
			u.ID = fmt.Sprintf("%s-%d", u.ID, copied)
		}
		// The maximum length of a sequence in Redis.
		u.Items = u.Items[max(0, len(u.Items)-sessions.DefaultWindow):]
		w.users = append(w.users, u)
	}
	w.rng.Shuffle(len(w.users), func(i, j int) { w.users[i], w.users[j] = w.users[j], w.users[i] })
	return w, nil
}

// meanHistory returns the mean number of events per user before the measurement.
func (w *workload) meanHistory() float64 {
	sum := 0
	for _, u := range w.users {
		sum += len(u.Items)
	}
	return float64(sum) / float64(len(w.users))
}

// next returns an event of the next user, and the index of that user.
func (w *workload) next(now time.Time) (e event.Event, user int) {
	user = w.produced % len(w.users)
	return w.eventOf(user, now), user
}

// eventOf returns a new event of a user.
func (w *workload) eventOf(user int, now time.Time) event.Event {
	w.produced++
	w.versions[user]++
	return event.Event{
		ID: fmt.Sprintf("n%d", w.produced), User: w.users[user].ID, Item: w.items[w.rng.IntN(len(w.items))],
		Type: event.DefaultType, Time: now.Truncate(time.Millisecond),
	}
}

// history returns the events of a user before the measurement.
func (w *workload) history(user int) sessions.UserEvents {
	u := w.users[user]
	began := time.Now().Add(-48 * time.Hour).Truncate(time.Millisecond)
	events := make([]event.Event, len(u.Items))
	for i, item := range u.Items {
		events[i] = event.Event{
			ID: fmt.Sprintf("h%d", i), User: u.ID, Item: item,
			Type: event.DefaultType, Time: began.Add(time.Duration(i) * time.Second),
		}
	}
	return sessions.UserEvents{User: u.ID, Events: events}
}

// list returns a recommendation list of a user, with random items.
func (w *workload) list(user int, model string, version int64, rng *rand.Rand) recs.List {
	items := make([]recs.ScoredItem, listItems)
	for i := range items {
		items[i] = recs.ScoredItem{Item: w.items[rng.IntN(len(w.items))], Score: rng.Float64() / listItems}
	}
	return recs.List{
		RecID: userstate.NewRecID(model), User: w.users[user].ID, ModelVersion: model, SequenceVersion: version,
		GeneratedAt: time.Now(), Source: recs.SourceModel, Items: items,
	}
}

const listItems = 20

// writeDataset writes the users in the order of their events.
func (w *workload) writeDataset(path string) error {
	var text strings.Builder
	for _, u := range w.users {
		fmt.Fprintln(&text, u.ID, strings.Join(u.Items, " "))
	}
	return os.WriteFile(path, []byte(text.String()), 0o600)
}
