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

// workload has the users that events are generated for: those of a dataset, copied under new
// ids until there are enough, in random order. Events take one user after the other, so that
// no user waits for two lists at once and no refreshes coalesce.
type workload struct {
	users    []dataset.User
	items    []string // of all histories: an item as often as it was used
	versions []int64  // of the users' sequences in Redis, once all events are appended
	produced int      // events so far
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
	a := &workload{rng: rand.New(rand.NewPCG(1, 0)), versions: make([]int64, s.users)}
	for _, u := range original {
		a.items = append(a.items, u.Items...)
	}
	for i := range s.users {
		u := original[i%len(original)]
		if copied := i / len(original); copied > 0 {
			u.ID = fmt.Sprintf("%s-%d", u.ID, copied)
		}
		// A sequence in Redis holds no more.
		u.Items = u.Items[max(0, len(u.Items)-sessions.DefaultWindow):]
		a.users = append(a.users, u)
	}
	a.rng.Shuffle(len(a.users), func(i, j int) { a.users[i], a.users[j] = a.users[j], a.users[i] })
	return a, nil
}

// meanHistory returns how many events a user has before the measurement.
func (a *workload) meanHistory() float64 {
	sum := 0
	for _, u := range a.users {
		sum += len(u.Items)
	}
	return float64(sum) / float64(len(a.users))
}

// next returns an event of the user whose last one is the longest ago, and the number of that user.
func (a *workload) next(now time.Time) (e event.Event, user int) {
	user = a.produced % len(a.users)
	return a.eventOf(user, now), user
}

// eventOf returns a new event of a user.
func (a *workload) eventOf(user int, now time.Time) event.Event {
	a.produced++
	a.versions[user]++
	return event.Event{
		ID: fmt.Sprintf("n%d", a.produced), User: a.users[user].ID, Item: a.items[a.rng.IntN(len(a.items))],
		Type: event.DefaultType, Time: now.Truncate(time.Millisecond),
	}
}

// history returns the events of a user before the measurement.
func (a *workload) history(user int) sessions.UserEvents {
	u := a.users[user]
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

// list returns recommendations of a user as a worker writes them, with random items.
func (a *workload) list(user int, model string, version int64, rng *rand.Rand) recs.List {
	items := make([]recs.ScoredItem, listItems)
	for i := range items {
		items[i] = recs.ScoredItem{Item: a.items[rng.IntN(len(a.items))], Score: rng.Float64() / listItems}
	}
	return recs.List{
		RecID: userstate.NewRecID(model), User: a.users[user].ID, ModelVersion: model, SequenceVersion: version,
		GeneratedAt: time.Now(), Source: recs.SourceModel, Items: items,
	}
}

const listItems = 20

// writeDataset writes the users, in the order in which events take them.
func (a *workload) writeDataset(path string) error {
	var text strings.Builder
	for _, u := range a.users {
		fmt.Fprintln(&text, u.ID, strings.Join(u.Items, " "))
	}
	return os.WriteFile(path, []byte(text.String()), 0o600)
}
