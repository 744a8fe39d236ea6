// Package dist trains one model in several processes (ranks) on one or more machines. The ranks
// run data-parallel: each computes the gradients of its share of a batch, and the group sums
// them (all-reduce).
//
// Rank 0 is the coordinator: it reads the data, decides what to train and publishes the result.
// The other ranks are workers: they receive jobs that rank 0 broadcasts. Launch starts the ranks
// of one machine; where RANK is set (torchrun, Kubernetes), FromEnv describes the process that
// something else has started. Join connects the ranks to a Group.
//
// Every collective call starts with an exchange of a small status vector, which the group sums.
// It transports the loss, requests to stop and the announcement of a broadcast, so that all ranks
// stop before the same step and workers need no second connection to wait on. A rank that dies
// or hangs makes the calls of the others fail with ErrPeerLost.
package dist

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
)

// Config of a Group.
type Config struct {
	// RankInfo is the position of this process.
	RankInfo
	// JoinTimeout bounds how long Join waits for the other ranks.
	JoinTimeout time.Duration
	// Timeout bounds a collective call, and with it the time until the failure of a rank or its
	// machine is detected. The death of a process is usually detected at once, because its
	// connections are closed; sometimes Gloo waits for the timeout, after a write that failed.
	Timeout time.Duration
	// Heartbeat is the interval at which rank 0 confirms during a Hold that it is alive.
	Heartbeat time.Duration
}

// DefaultConfig has timeouts that suffice for the slowest start and step.
func DefaultConfig(r RankInfo) Config {
	return Config{RankInfo: r, JoinTimeout: 10 * time.Minute, Timeout: 5 * time.Minute, Heartbeat: 2 * time.Second}
}

// ErrPeerLost is returned when another rank has died or does not respond.
var ErrPeerLost = errors.New("another rank has died or does not respond")

// Group connects this process with the other ranks. All ranks must make the same collective
// calls in the same order, each from one goroutine at a time.
type Group struct {
	// Rank is the number of this process, in [0, WorldSize).
	Rank, WorldSize int

	cancel    context.CancelCauseFunc // of rank 0's work during a Hold
	heartbeat time.Duration
	lib       libtorch.Group
	failed    error       // of all further calls
	stop      atomic.Bool // this rank has been asked to stop
	stopping  atomic.Bool // some rank had been asked to stop at the last exchange
	held      *hold       // of rank 0, nil outside of a Hold
}

// Join connects to the other ranks. When ctx ends, all ranks stop before the same step. For
// rank 0, a Hold begins, during which cancel is called if another rank is lost or asked to stop;
// other ranks have to call Receive.
func Join(ctx context.Context, cancel context.CancelCauseFunc, c Config) (*Group, error) {
	g, err := join(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("join %d ranks at %s:%d as rank %d: %w", c.WorldSize, c.Host, c.Port, c.Rank, err)
	}
	g.cancel = cancel
	context.AfterFunc(ctx, func() { g.stop.Store(true) })
	if g.Rank == 0 {
		g.Hold()
	}
	return g, nil
}

func join(ctx context.Context, c Config) (*Group, error) {
	ctx, cancel := context.WithTimeout(ctx, c.JoinTimeout)
	defer cancel()
	m := libtorch.Rendezvous{
		Host: c.Host, Port: c.Port, Listener: -1, Rank: c.Rank, Size: c.WorldSize, JoinTimeout: c.JoinTimeout, Timeout: c.Timeout,
	}
	var err error
	if m.OwnAddress, err = ownAddress(ctx, c.RankInfo); err != nil {
		return nil, err
	}
	if c.Rank == 0 {
		if m.Listener, err = c.listen(); err != nil {
			return nil, err
		}
	}
	g := &Group{Rank: c.Rank, WorldSize: c.WorldSize, heartbeat: c.Heartbeat}
	joined := make(chan error, 1)
	go func() {
		var err error
		g.lib, err = libtorch.JoinGroup(m)
		joined <- err
	}()
	select {
	case <-ctx.Done(): // the call continues until its own timeout or the end of the process
		return nil, ctx.Err()
	case err := <-joined:
		return g, err
	}
}

// ownAddress is the IP address of the network interface that routes to rank 0. The lookup is
// retried, because names of machines that start together may not resolve at once.
func ownAddress(ctx context.Context, r RankInfo) (address string, err error) {
	err = backoff.Retry(ctx, slog.Default(), "look up the address of rank 0", func() error {
		var dialer net.Dialer
		route, err := dialer.DialContext(ctx, "udp", net.JoinHostPort(r.Host, strconv.Itoa(int(r.Port)))) // sends nothing
		if err != nil {
			return err
		}
		address = route.LocalAddr().(*net.UDPAddr).IP.String()
		return route.Close()
	})
	return address, err
}

// Close closes the connections. Ranks that still wait for this one fail with ErrPeerLost.
func (g *Group) Close() {
	g.release()
	g.lib.Leave()
}

// status is what the ranks exchange at the beginning of a collective call. Its fields are summed
// over the ranks.
type status struct {
	announced announcement // by rank 0
	bytes     int          // length of the announced message
	loss      float64
	count     int // of this rank, for AllGather
}

// announcement is what rank 0 does after an exchange.
type announcement int

const (
	announceNothing announcement = iota
	announceMessage
	announceEnd
)

// exchange sums the status of all ranks. Where rank 0 has ended the group, the error of the other
// ranks says why.
func (g *Group) exchange(s status) (sum status, counts []float64, err error) {
	const fields = 4
	values := make([]float64, fields+g.WorldSize)
	values[0], values[1], values[2] = float64(s.announced), float64(s.bytes), s.loss
	if g.stop.Load() {
		values[3] = 1
	}
	values[fields+g.Rank] = float64(s.count)
	if err := g.call(func() error { return g.lib.AllReduce(values) }); err != nil {
		return s, nil, err
	}
	g.stopping.Store(values[3] > 0)
	sum = status{announced: announcement(values[0]), bytes: int(values[1]), loss: values[2]}
	if sum.announced == announceEnd && g.Rank > 0 {
		return sum, nil, g.ended(sum.bytes)
	}
	return sum, values[fields:], nil
}

// call runs a collective operation. After a failure all further calls fail: other ranks might wait
// for another operation.
func (g *Group) call(f func() error) error {
	if g.failed == nil {
		if err := f(); err != nil {
			g.failed = fmt.Errorf("%w: %w", ErrPeerLost, err)
		}
	}
	return g.failed
}

// SumLoss returns the sum of the loss over the ranks. It has to be called once a step, before
// the gradients are reduced.
func (g *Group) SumLoss(loss float64) (float64, error) {
	sum, _, err := g.exchange(status{loss: loss})
	return sum.loss, err
}

// Stopping reports whether a rank had been asked to stop by the last step. The result is the same
// on all ranks.
func (g *Group) Stopping() bool { return g.stopping.Load() }

// AllGather returns the number of each rank, by rank.
func (g *Group) AllGather(number int) ([]int, error) {
	_, counts, err := g.exchange(status{count: number})
	all := make([]int, len(counts))
	for i, n := range counts {
		all[i] = int(n)
	}
	return all, err
}

// AllReduce replaces the elements of tensors on one device by their sums over the ranks.
func (g *Group) AllReduce(tensors []*tensor.Tensor) error {
	return g.tensors(tensor.AllReduce, tensors)
}

// BroadcastTensors replaces the elements of tensors by those of rank 0.
func (g *Group) BroadcastTensors(tensors []*tensor.Tensor) error {
	return g.tensors(tensor.Broadcast, tensors)
}

func (g *Group) tensors(operation func(libtorch.Group, []*tensor.Tensor), tensors []*tensor.Tensor) error {
	return g.call(func() (err error) {
		defer tensor.Catch(&err)
		operation(g.lib, tensors)
		return nil
	})
}

// hold is the goroutine that sends heartbeats during a Hold.
type hold struct {
	stop, stopped chan struct{}
}

// Hold keeps the other ranks waiting in Receive while rank 0 works alone for any length of time.
// It ends with the next collective call of Broadcast. If a rank is lost or asked to stop meanwhile,
// the context of rank 0's work is canceled.
func (g *Group) Hold() {
	if g.held != nil {
		return
	}
	g.held = &hold{stop: make(chan struct{}), stopped: make(chan struct{})}
	go g.sendHeartbeats(g.held)
}

func (g *Group) sendHeartbeats(h *hold) {
	defer close(h.stopped)
	ticker := time.NewTicker(g.heartbeat)
	defer ticker.Stop()
	for {
		select {
		case <-h.stop:
			return
		case <-ticker.C:
		}
		if _, _, err := g.exchange(status{}); err != nil {
			g.cancel(err)
			return
		}
		if g.Stopping() {
			g.cancel(fmt.Errorf("a rank was asked to stop: %w", context.Canceled))
		}
	}
}

// release ends a Hold, if there is one, and waits for its goroutine.
func (g *Group) release() {
	if g.held == nil {
		return
	}
	close(g.held.stop)
	<-g.held.stopped
	g.held = nil
}
