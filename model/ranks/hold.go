package ranks

import (
	"context"
	"fmt"
	"time"
)

// hold is rank 0 letting the others wait.
type hold struct {
	stop, stopped chan struct{}
}

// Hold lets the other ranks wait for the next message while rank 0 works on its own, as
// long as it likes. If one of them is lost meanwhile or wants to stop, what rank 0 does is
// canceled.
func (g *Group) Hold() {
	if g.held != nil {
		return
	}
	g.held = &hold{stop: make(chan struct{}), stopped: make(chan struct{})}
	go g.keep(g.held)
}

func (g *Group) keep(h *hold) {
	defer close(h.stopped)
	ticker := time.NewTicker(g.beat)
	defer ticker.Stop()
	for {
		select {
		case <-h.stop:
			return
		case <-ticker.C:
		}
		if _, _, err := g.exchange(notice{}); err != nil {
			g.cancel(err)
			return
		}
		if g.Stopping() {
			g.cancel(fmt.Errorf("a rank was asked to stop: %w", context.Canceled))
		}
	}
}

// release ends a Hold, if there is one, so that its goroutine leaves the group to others.
func (g *Group) release() {
	if g.held == nil {
		return
	}
	close(g.held.stop)
	<-g.held.stopped
	g.held = nil
}
