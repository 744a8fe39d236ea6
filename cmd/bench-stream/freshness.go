package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"genrec/cmd/internal/process"
	"genrec/inference"
	"genrec/ingest"
	"genrec/pkg/dataset"
	"genrec/pkg/event"
	"genrec/pkg/stream"
	"genrec/sessions"
)

// freshness is how long events took until recommendations after them could be read, in ms.
type freshness struct{ p50, p99, p999 float64 }

const (
	burst        = 4000             // users of the measurement of capacity
	loadDuration = 20 * time.Second // at each load
	lookEvery    = time.Millisecond
)

// audience are the users of a dataset with their histories in Redis.
type audience struct {
	users    []dataset.User
	versions map[string]int64 // of the sequences, by user
	items    []string
	rng      *rand.Rand
	produced int
}

// freshness prints it at several loads, and returns that at half of the capacity.
func (r *rig) freshness(ctx context.Context) (half freshness, err error) {
	if err := r.emptyServers(ctx, r.partitions); err != nil {
		return half, err
	}
	store, err := sessions.Open(ctx, r.rdb, sessions.Options{})
	if err != nil {
		return half, err
	}
	a, err := newAudience(ctx, r.data, store)
	if err != nil {
		return half, err
	}
	var children []*process.Child
	defer func() { stop(children) }()
	for _, args := range [][]string{{"ingest"}, {"infer", "--models", r.models, "--device", "cpu"}} {
		c, err := r.command(args[0], args[1:]...)
		if err != nil {
			return half, err
		}
		children = append(children, c)
	}
	w := stream.NewWriter(r.cluster, stream.DefaultTopics().Interactions)
	defer w.Close()
	if err := r.await(ctx, w, a, 200); err != nil { // the model is loaded and warm
		return half, err
	}
	start := time.Now()
	if err := r.await(ctx, w, a, burst); err != nil {
		return half, err
	}
	capacity := burst / time.Since(start).Seconds()
	fmt.Printf("capacity: %.0f users/s answered\n| load | events/s | p50, ms | p99, ms | p99.9, ms |\n| --- | --- | --- | --- | --- |\n", capacity)
	for _, load := range []float64{0.1, 0.5, 0.9} {
		got, err := r.atRate(ctx, w, a, load*capacity)
		if err != nil {
			return half, err
		}
		fmt.Printf("| %.0f %% | %.0f | %.1f | %.1f | %.1f |\n", 100*load, load*capacity, got.p50, got.p99, got.p999)
		if load == 0.5 {
			half = got
		}
	}
	return half, nil
}

func newAudience(ctx context.Context, path string, store *sessions.Store) (*audience, error) {
	users, err := dataset.Read(path)
	if err != nil {
		return nil, err
	}
	a := &audience{users: users, versions: make(map[string]int64), rng: rand.New(rand.NewPCG(1, 0))}
	began := time.Now().Add(-24 * time.Hour).Truncate(time.Millisecond)
	for part := range slices.Chunk(users, 256) {
		var batch []sessions.UserEvents
		for _, u := range part {
			events := make([]event.Event, len(u.Items))
			for i, item := range u.Items {
				events[i] = event.Event{ID: fmt.Sprintf("h%d", i), User: u.ID, Item: item, Type: event.DefaultType, Time: began.Add(time.Duration(i) * time.Second)}
				a.items = append(a.items, item)
			}
			batch = append(batch, sessions.UserEvents{User: u.ID, Events: events})
		}
		appended, err := store.Append(ctx, batch)
		if err != nil {
			return nil, err
		}
		for _, u := range appended {
			a.versions[u.User] = u.Version
		}
	}
	a.rng.Shuffle(len(users), func(i, j int) { users[i], users[j] = users[j], users[i] })
	return a, nil
}

// next is a new event of a user who had none for as long as possible, and the version that
// the user's sequence has after it.
func (a *audience) next() (kafka.Message, string, int64, error) {
	user := a.users[a.produced%len(a.users)].ID
	a.produced++
	a.versions[user]++
	m, err := message(event.Event{
		ID: fmt.Sprintf("n%d", a.produced), User: user, Item: a.items[a.rng.IntN(len(a.items))],
		Type: event.DefaultType, Time: time.Now().Truncate(time.Millisecond),
	})
	return m, user, a.versions[user], err
}

// await produces events of n users at once and waits until they are answered.
func (r *rig) await(ctx context.Context, w *kafka.Writer, a *audience, n int) error {
	messages := make([]kafka.Message, n)
	var (
		last    string
		version int64
		err     error
	)
	for i := range messages {
		if messages[i], last, version, err = a.next(); err != nil {
			return err
		}
	}
	if err := w.WriteMessages(ctx, messages...); err != nil {
		return err
	}
	topics := stream.DefaultTopics()
	deadline := time.Now().Add(5 * time.Minute)
	for {
		events, err := stream.Lag(ctx, r.cluster, ingest.DefaultGroup, topics.Interactions)
		if err != nil {
			return err
		}
		refreshes, err := stream.Lag(ctx, r.cluster, inference.DefaultGroup, topics.Refreshes)
		if err != nil {
			return err
		}
		if events == 0 && refreshes == 0 {
			answered, err := r.versions(ctx, []string{last})
			if err != nil || answered[0] < version {
				return errors.Join(err, fmt.Errorf("user %s has recommendations of version %d, want %d", last, answered[0], version))
			}
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d events and %d refreshes are left after 5 minutes", events, refreshes)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// versions are those of the sequences behind users' recommendations, 0 without any.
func (r *rig) versions(ctx context.Context, users []string) ([]int64, error) {
	pipe := r.rdb.Pipeline()
	values := make([]*redis.StringCmd, len(users))
	for i, user := range users {
		values[i] = pipe.Get(ctx, sessions.DefaultPrefix+":recs:{"+user+"}")
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, err
	}
	versions := make([]int64, len(users))
	for i, v := range values {
		var recs struct {
			Version int64 `json:"sequence_version"`
		}
		if text, err := v.Bytes(); err == nil && json.Unmarshal(text, &recs) != nil {
			return nil, fmt.Errorf("the recommendations of user %s cannot be read", users[i])
		}
		versions[i] = recs.Version
	}
	return versions, nil
}

// probe is an event whose recommendations are looked for.
type probe struct {
	user    string
	version int64
	began   time.Time
}

// atRate produces events at a rate and looks, for some of them, when they are answered: as
// the readers of production do, by reading the user's key.
func (r *rig) atRate(ctx context.Context, w *kafka.Writer, a *audience, perSecond float64) (freshness, error) {
	const probesPerSecond = 100
	every := max(1, int(perSecond/probesPerSecond))
	probes := make(chan probe, 10_000)
	group, ctx := errgroup.WithContext(ctx)
	var written errgroup.Group
	written.SetLimit(64)
	group.Go(func() error {
		defer close(probes)
		start := time.Now()
		for n := 0; time.Since(start) < loadDuration; n++ {
			due := start.Add(time.Duration(float64(n) / perSecond * float64(time.Second)))
			time.Sleep(time.Until(due))
			m, user, version, err := a.next()
			if err != nil {
				return err
			}
			if n%every == 0 {
				probes <- probe{user, version, due}
			}
			written.Go(func() error { return w.WriteMessages(ctx, m) })
		}
		return written.Wait()
	})
	var took []float64
	group.Go(func() (err error) {
		took, err = r.look(ctx, probes)
		return err
	})
	if err := group.Wait(); err != nil {
		return freshness{}, err
	}
	slices.Sort(took)
	at := func(q float64) float64 { return took[min(len(took)-1, int(q*float64(len(took))))] }
	return freshness{at(0.5), at(0.99), at(0.999)}, nil
}

func (r *rig) look(ctx context.Context, probes <-chan probe) (ms []float64, err error) {
	var open []probe
	deadline := time.Now().Add(loadDuration + time.Minute)
	for probes != nil || len(open) > 0 {
		for more := probes != nil; more; {
			select {
			case p, ok := <-probes:
				if !ok {
					probes, more = nil, false
					break
				}
				open = append(open, p)
			default:
				more = false
			}
		}
		users := make([]string, len(open))
		for i, p := range open {
			users[i] = p.user
		}
		versions, err := r.versions(ctx, users)
		if err != nil {
			return nil, err
		}
		now := time.Now()
		left := open[:0]
		for i, p := range open {
			if versions[i] >= p.version {
				ms = append(ms, float64(now.Sub(p.began).Microseconds())/1000)
			} else {
				left = append(left, p)
			}
		}
		open = left
		if now.After(deadline) {
			return nil, fmt.Errorf("%d events were not answered", len(open))
		}
		time.Sleep(lookEvery)
	}
	return ms, nil
}
