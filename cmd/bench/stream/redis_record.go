package stream

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/event"
	"genrec/pkg/recs"
	"genrec/sessions"
)

const replayConnections = 4

// phases of a replay: what ingest and the worker send for a user with an event.
const (
	appendPhase = iota
	readPhase
	writePhase
	phases
)

var phaseNames = [phases]string{"appends", "reads", "writes"}

// recording has, by phase, node and connection, the pipelines of a replay.
type recording struct {
	users     int
	pipelines [phases]map[string][replayConnections][]pipeline
}

// recorder collects what a client sends, by node.
type recorder struct {
	mu   sync.Mutex
	sent map[string]*bytes.Buffer
}

// dial opens a connection whose writes are recorded.
func (r *recorder) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sent[address] == nil {
		r.sent[address] = new(bytes.Buffer)
	}
	return recorded{conn, r.sent[address]}, nil
}

// take returns what was sent to each node since the last call.
func (r *recorder) take() map[string][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	sent := make(map[string][]byte)
	for node, buffer := range r.sent {
		if buffer.Len() > 0 {
			sent[node] = bytes.Clone(buffer.Bytes())
			buffer.Reset()
		}
	}
	return sent
}

// record executes one append, one read and one write for each user, in batches, and returns
// the commands that were sent. It appends an event to each history.
func (b *baseline) record(ctx context.Context) (*recording, error) {
	r := &recorder{sent: make(map[string]*bytes.Buffer)}
	client := b.env.newRedisClient(func(o *redis.UniversalOptions) {
		o.PoolSize, o.MaxRetries, o.MaxRedirects = 1, -1, -1 // a retry would be recorded too
		o.ReadTimeout, o.PoolTimeout = time.Minute, time.Minute
		o.Dialer = r.dial
	})
	defer client.Close()
	store, err := sessions.Open(ctx, client, sessions.Options{
		SequenceTTL: sessions.DefaultSequenceTTL, RecommendationsTTL: sessions.DefaultRecommendationsTTL,
	})
	if err != nil {
		return nil, err
	}
	result := &recording{users: len(b.workload.users)}
	for phase := range result.pipelines {
		result.pipelines[phase] = make(map[string][replayConnections][]pipeline)
	}
	rng := rand.New(rand.NewPCG(3, 0))
	numbers := make([]int, result.users)
	for i := range numbers {
		numbers[i] = i
	}
	batches := 0
	for batch := range slices.Chunk(numbers, fillBatch) {
		for phase := range phases {
			if err := b.send(ctx, store, phase, batch, rng); err != nil {
				return nil, fmt.Errorf("record the %s of %d users: %w", phaseNames[phase], len(batch), err)
			}
			for node, sent := range r.take() {
				p, err := dataCommands(sent)
				if err != nil {
					return nil, fmt.Errorf("record the %s: %w", phaseNames[phase], err)
				}
				of := result.pipelines[phase][node]
				connection := batches % replayConnections
				of[connection] = append(of[connection], p)
				result.pipelines[phase][node] = of
			}
		}
		batches++
	}
	return result, nil
}

// send does what ingest or the worker does in a phase.
func (b *baseline) send(ctx context.Context, store *sessions.Store, phase int, users []int, rng *rand.Rand) error {
	a := b.workload
	switch phase {
	case appendPhase:
		var events []sessions.UserEvents
		for _, user := range users {
			e := a.eventOf(user, time.Now())
			events = append(events, sessions.UserEvents{User: e.User, Events: []event.Event{e}})
		}
		_, err := store.Append(ctx, events)
		return err
	case readPhase:
		ids := make([]string, len(users))
		for i, user := range users {
			ids[i] = a.users[user].ID
		}
		if _, err := store.Sequences(ctx, ids); err != nil {
			return err
		}
		_, err := store.Lists(ctx, ids)
		return err
	}
	var lists []recs.List
	for _, user := range users {
		lists = append(lists, a.list(user, b.model, a.versions[user], rng))
	}
	_, err := store.PutLists(ctx, lists)
	return err
}
