package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/userstate"
	"genrec/sessions"
)

const (
	probesPerSecond = 100
	pollEvery       = 2 * time.Millisecond
	// openAtFullRate is the number of open probes above which they are polled less often, to bound the load.
	openAtFullRate = 16
)

// prober measures the latency from events until a reader of Redis sees a list that was generated after them.
type prober struct {
	rdb   redis.UniversalClient
	users []string // ids
	every int      // events per probe

	mu      sync.Mutex
	events  int
	begin   time.Time // of the measurement; zero: not started
	open    []probe
	latency []float64 // ms
}

// probe is an event that waits for its list.
type probe struct {
	user    int
	version int64 // of the sequence with the event
	due     time.Time
}

func newProber(rdb redis.UniversalClient, w *workload, rate float64) *prober {
	p := &prober{rdb: rdb, every: max(1, int(rate/probesPerSecond))}
	for _, u := range w.users {
		p.users = append(p.users, u.ID)
	}
	return p
}

// start starts the measurement with the events that are due later.
func (p *prober) start(begin time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begin = begin
}

// add is called for each event.
func (p *prober) add(due time.Time, user int, version int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events++
	if p.events%p.every == 0 && !p.begin.IsZero() && due.After(p.begin) {
		p.open = append(p.open, probe{user: user, version: version, due: due})
	}
}

// watch polls the lists of open probes until stop is closed. All must be updated by then.
func (p *prober) watch(ctx context.Context, stop <-chan struct{}) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-stop:
			left, err := p.poll(ctx)
			if err == nil && left > 0 {
				err = fmt.Errorf("%d of %d lists were not updated after their events", left, left+len(p.latency))
			}
			return err
		default:
		}
		left, err := p.poll(ctx)
		if err != nil {
			return err
		}
		time.Sleep(pollEvery * time.Duration(max(1, left/openAtFullRate)))
	}
}

// poll reads the lists of all open probes in one round trip and returns the number of remaining probes.
func (p *prober) poll(ctx context.Context) (left int, err error) {
	p.mu.Lock()
	open := p.open
	p.open = nil
	p.mu.Unlock()
	versions, err := p.versions(ctx, open)
	if err != nil {
		return 0, err
	}
	now := time.Now()
	var waiting []probe
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, o := range open {
		if versions[i] < o.version {
			waiting = append(waiting, o)
			continue
		}
		p.latency = append(p.latency, float64(now.Sub(o.due).Microseconds())/1000)
	}
	p.open = append(waiting, p.open...)
	return len(p.open), nil
}

// versions returns for each probe the sequence version of the user's list, or 0 without a list.
func (p *prober) versions(ctx context.Context, probes []probe) ([]int64, error) {
	if len(probes) == 0 {
		return nil, nil
	}
	keys := userstate.Keys{Prefix: sessions.DefaultPrefix}
	pipe := p.rdb.Pipeline()
	values := make([]*redis.StringCmd, len(probes))
	for i, o := range probes {
		values[i] = pipe.Get(ctx, keys.List(p.users[o.user]))
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("read the lists of %d users: %w", len(probes), err)
	}
	versions := make([]int64, len(probes))
	for i, value := range values {
		text, err := value.Bytes()
		if err != nil {
			continue
		}
		if versions[i], err = sequenceVersion(text); err != nil {
			return nil, fmt.Errorf("read the list of user %q: %w", p.users[probes[i].user], err)
		}
	}
	return versions, nil
}

// sequenceVersion finds the version without decoding the list, because the benchmark shares cores with the
// measured processes.
func sequenceVersion(list []byte) (version int64, err error) {
	_, rest, found := bytes.Cut(list, []byte(`"sequence_version":`))
	if !found {
		return 0, fmt.Errorf("no sequence_version in %.100q", list)
	}
	digits := 0
	for ; digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9'; digits++ {
		version = 10*version + int64(rest[digits]-'0')
	}
	if digits == 0 {
		return 0, fmt.Errorf("sequence_version is not a number in %.100q", list)
	}
	return version, nil
}
