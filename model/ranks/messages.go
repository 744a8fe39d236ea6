package ranks

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Send gives a message of rank 0 to the others, which Receive it. It ends a Hold.
func (g *Group) Send(data []byte) error { return g.send(message, data) }

func (g *Group) send(o order, data []byte) error {
	g.release()
	if _, _, err := g.exchange(notice{order: o, bytes: len(data)}); err != nil || len(data) == 0 {
		return err
	}
	return g.call(func() error { return g.lib.Send(data) })
}

// Receive waits for the next message of rank 0, however long that takes as long as rank 0
// is there.
func (g *Group) Receive() ([]byte, error) {
	for {
		s, _, err := g.exchange(notice{})
		if err != nil {
			return nil, err
		}
		if s.order == message {
			return g.take(s.bytes)
		}
	}
}

func (g *Group) take(bytes int) ([]byte, error) {
	data := make([]byte, bytes)
	if bytes == 0 {
		return data, nil
	}
	return data, g.call(func() error { return g.lib.Send(data) })
}

// mostBytes of a long text that are sent at once.
const mostBytes = 4 << 20

// Writer sends what rank 0 writes to the others' Readers. Close ends it.
func (g *Group) Writer() io.WriteCloser {
	w := writer{g}
	return &buffered{bufio.NewWriterSize(w, mostBytes), w}
}

type writer struct{ group *Group }

func (w writer) Write(data []byte) (int, error) {
	for from := 0; from < len(data); from += mostBytes {
		if err := w.group.Send(data[from:min(len(data), from+mostBytes)]); err != nil {
			return 0, err
		}
	}
	return len(data), nil
}

type buffered struct {
	*bufio.Writer
	writer writer
}

func (b *buffered) Close() error { return errors.Join(b.Flush(), b.writer.group.Send(nil)) }

// Reader reads what rank 0 writes to its Writer.
func (g *Group) Reader() io.Reader { return &reader{group: g} }

type reader struct {
	group *Group
	left  []byte
	ended bool
}

func (r *reader) Read(into []byte) (int, error) {
	if len(r.left) == 0 && !r.ended {
		var err error
		if r.left, err = r.group.Receive(); err != nil {
			return 0, err
		}
		r.ended = len(r.left) == 0
	}
	if r.ended {
		return 0, io.EOF
	}
	n := copy(into, r.left)
	r.left = r.left[n:]
	return n, nil
}

// Agree fails on all ranks unless all have the same as rank 0, by their fingerprints.
func (g *Group) Agree(what, fingerprint string) error {
	var err error
	theirs := []byte(fingerprint)
	if g.Rank == 0 {
		err = g.Send(theirs)
	} else {
		theirs, err = g.Receive()
	}
	if err != nil {
		return err
	}
	different := 0
	if string(theirs) != fingerprint {
		different = 1
	}
	all, err := g.Gather(different)
	if err != nil {
		return err
	}
	for rank, different := range all {
		if different != 0 {
			return fmt.Errorf("rank %d has another %s than rank 0: start all ranks with the same program and settings", rank, what)
		}
	}
	return nil
}

// closing is how rank 0 ends a group.
type closing struct {
	Stopped bool   `json:"stopped,omitempty"`
	Failure string `json:"failure,omitempty"`
}

// ErrDone says that rank 0 needs the others no more.
var ErrDone = errors.New("the training is done")

// End lets the other ranks know that rank 0 needs them no more, or why it gave up. Their
// calls return ErrDone, context.Canceled, or that reason.
func (g *Group) End(reason error) error {
	var c closing
	switch {
	case errors.Is(reason, context.Canceled):
		c.Stopped = true
	case reason != nil:
		c.Failure = reason.Error()
	}
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return g.send(end, data)
}

// ended reads what rank 0 said by End.
func (g *Group) ended(bytes int) error {
	data, err := g.take(bytes)
	if err != nil {
		return err
	}
	var c closing
	switch err := json.Unmarshal(data, &c); {
	case err != nil:
		g.broken = fmt.Errorf("decode how rank 0 ended: %w", err)
	case c.Stopped:
		g.broken = fmt.Errorf("rank 0 stopped: %w", context.Canceled)
	case c.Failure != "":
		g.broken = fmt.Errorf("rank 0 gave up: %s", c.Failure)
	default:
		g.broken = ErrDone
	}
	return g.broken
}
