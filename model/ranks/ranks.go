// Package ranks lets several processes train one model together. Rank 0 leads and the
// others follow: they wait for its messages, and what all compute is added up over all.
package ranks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"genrec/model/libtorch"
	"genrec/model/tensor"
	"genrec/pkg/backoff"
	"genrec/pkg/launch"
)

// Config says how long a group waits.
type Config struct {
	launch.Place
	// JoinTimeout is how long the ranks wait for each other at first.
	JoinTimeout time.Duration
	// Timeout bounds the time until a rank that hangs, or whose machine is gone, ends the
	// others. One that has died does so at once; now and then it takes the timeout, too, where
	// Gloo goes on waiting for a message that it could not write.
	Timeout time.Duration
	// Beat is how often rank 0 lets the others know that it is at work on its own.
	Beat time.Duration
}

// DefaultConfig waits long enough for the slowest start and step.
func DefaultConfig(p launch.Place) Config {
	return Config{Place: p, JoinTimeout: 10 * time.Minute, Timeout: 5 * time.Minute, Beat: 2 * time.Second}
}

// ErrLost says that a rank has died, or does not answer.
var ErrLost = errors.New("another rank is gone or does not answer")

// Group is the processes that train together, as one of them sees it. All ranks have to
// make the same calls in the same order, each from one goroutine at a time.
type Group struct {
	Rank, Size int

	cancel   context.CancelCauseFunc // of what rank 0 does in a Hold
	beat     time.Duration
	lib      libtorch.Group
	broken   error       // no call can succeed any more
	wish     atomic.Bool // this rank wants to stop
	stopping atomic.Bool // a rank wanted to stop in the last exchange
	held     *hold       // rank 0's, while it works on its own
}

// Join waits for the other ranks. When ctx ends, all of them stop together at the next
// step. Rank 0 begins with a Hold, in which it cancels ctx when another rank is lost or wants
// to stop; the others begin with a Receive.
func Join(ctx context.Context, cancel context.CancelCauseFunc, c Config) (*Group, error) {
	g, err := join(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("join %d ranks at %s:%d as rank %d: %w", c.Size, c.Host, c.Port, c.Rank, err)
	}
	g.cancel = cancel
	context.AfterFunc(ctx, func() { g.wish.Store(true) })
	if g.Rank == 0 {
		g.Hold()
	}
	return g, nil
}

func join(ctx context.Context, c Config) (*Group, error) {
	ctx, cancel := context.WithTimeout(ctx, c.JoinTimeout)
	defer cancel()
	m := libtorch.Meeting{
		Host: c.Host, Port: c.Port, Listener: -1, Rank: c.Rank, Size: c.Size, JoinTimeout: c.JoinTimeout, Timeout: c.Timeout,
	}
	var err error
	if m.OwnAddress, err = ownAddress(ctx, c.Place); err != nil {
		return nil, err
	}
	if c.Rank == 0 {
		if m.Listener, err = c.Listen(); err != nil {
			return nil, err
		}
	}
	g := &Group{Rank: c.Rank, Size: c.Size, beat: c.Beat}
	joined := make(chan error, 1)
	go func() {
		var err error
		g.lib, err = libtorch.JoinGroup(m)
		joined <- err
	}()
	select {
	case <-ctx.Done(): // the call goes on until its own timeout, or the end of the process
		return nil, ctx.Err()
	case err := <-joined:
		return g, err
	}
}

// ownAddress is this machine's on the way to rank 0. Names may take a while to be known
// where machines start together.
func ownAddress(ctx context.Context, p launch.Place) (address string, err error) {
	err = backoff.Retry(ctx, slog.Default(), "look for the way to rank 0", func() error {
		var dialer net.Dialer
		route, err := dialer.DialContext(ctx, "udp", net.JoinHostPort(p.Host, strconv.Itoa(int(p.Port)))) // sends nothing
		if err != nil {
			return err
		}
		address = route.LocalAddr().(*net.UDPAddr).IP.String()
		return route.Close()
	})
	return address, err
}

// Leave closes the connections, which ends ranks that still wait for this one.
func (g *Group) Leave() {
	g.release()
	g.lib.Leave()
}

// notice is what the ranks tell each other before anything else. All of it is added up.
type notice struct {
	order order // rank 0's
	bytes int   // of the message that comes with it
	loss  float64
	count int // one of each rank's
}

// order says what comes after a notice.
type order int

const (
	nothing order = iota
	message
	end
)

// exchange adds up the notices of all ranks. Where rank 0 gives up, it is the others'
// error.
func (g *Group) exchange(s notice) (sum notice, counts []float64, err error) {
	const fields = 4
	values := make([]float64, fields+g.Size)
	values[0], values[1], values[2] = float64(s.order), float64(s.bytes), s.loss
	if g.wish.Load() {
		values[3] = 1
	}
	values[fields+g.Rank] = float64(s.count)
	if err := g.call(func() error { return g.lib.Add(values) }); err != nil {
		return s, nil, err
	}
	g.stopping.Store(values[3] > 0)
	sum = notice{order: order(values[0]), bytes: int(values[1]), loss: values[2]}
	if sum.order == end && g.Rank > 0 {
		return sum, nil, g.ended(sum.bytes)
	}
	return sum, values[fields:], nil
}

// call remembers that a call failed: others would wait for what does not come.
func (g *Group) call(f func() error) error {
	if g.broken == nil {
		if err := f(); err != nil {
			g.broken = fmt.Errorf("%w: %w", ErrLost, err)
		}
	}
	return g.broken
}

// Step adds up the losses of a step, before its gradients.
func (g *Group) Step(loss float64) (float64, error) {
	sum, _, err := g.exchange(notice{loss: loss})
	return sum.loss, err
}

// Stopping tells, on all ranks alike, whether one of them wanted to stop by the last step.
func (g *Group) Stopping() bool { return g.stopping.Load() }

// Gather tells all ranks a number of each.
func (g *Group) Gather(own int) ([]int, error) {
	_, counts, err := g.exchange(notice{count: own})
	all := make([]int, len(counts))
	for i, n := range counts {
		all[i] = int(n)
	}
	return all, err
}

// Add replaces the elements of tensors on one device by their sums over the ranks.
func (g *Group) Add(tensors []*tensor.Tensor) error {
	return g.tensors(tensor.AddOver, tensors)
}

// Share replaces the elements of tensors by those of rank 0.
func (g *Group) Share(tensors []*tensor.Tensor) error {
	return g.tensors(tensor.SendOver, tensors)
}

func (g *Group) tensors(operation func(libtorch.Group, []*tensor.Tensor), tensors []*tensor.Tensor) error {
	return g.call(func() (err error) {
		defer tensor.Catch(&err)
		operation(g.lib, tensors)
		return nil
	})
}
