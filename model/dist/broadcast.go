package dist

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Broadcast sends a message from rank 0 to the others, which have to call Receive. It ends a Hold.
func (g *Group) Broadcast(data []byte) error { return g.broadcast(announceMessage, data) }

func (g *Group) broadcast(a announcement, data []byte) error {
	g.release()
	if _, _, err := g.exchange(status{announced: a, bytes: len(data)}); err != nil || len(data) == 0 {
		return err
	}
	return g.call(func() error { return g.lib.Broadcast(data) })
}

// Receive waits for the next message of rank 0, for as long as rank 0 is alive.
func (g *Group) Receive() ([]byte, error) {
	for {
		s, _, err := g.exchange(status{})
		if err != nil {
			return nil, err
		}
		if s.announced == announceMessage {
			return g.receive(s.bytes)
		}
	}
}

func (g *Group) receive(bytes int) ([]byte, error) {
	data := make([]byte, bytes)
	if bytes == 0 {
		return data, nil
	}
	return data, g.call(func() error { return g.lib.Broadcast(data) })
}

// maxChunk is the length in bytes up to which a stream is sent as one message.
const maxChunk = 4 << 20

// Writer returns a stream from rank 0 to the Reader of each other rank. Close ends the stream.
func (g *Group) Writer() io.WriteCloser {
	w := chunkWriter{g}
	return &streamWriter{bufio.NewWriterSize(w, maxChunk), w}
}

type chunkWriter struct{ group *Group }

func (w chunkWriter) Write(data []byte) (int, error) {
	for from := 0; from < len(data); from += maxChunk {
		if err := w.group.Broadcast(data[from:min(len(data), from+maxChunk)]); err != nil {
			return 0, err
		}
	}
	return len(data), nil
}

type streamWriter struct {
	*bufio.Writer
	chunks chunkWriter
}

// Close flushes the stream and ends it with an empty message.
func (w *streamWriter) Close() error { return errors.Join(w.Flush(), w.chunks.group.Broadcast(nil)) }

// Reader returns the stream that rank 0 writes to its Writer.
func (g *Group) Reader() io.Reader { return &streamReader{group: g} }

type streamReader struct {
	group *Group
	chunk []byte // not read yet
	ended bool
}

func (r *streamReader) Read(into []byte) (int, error) {
	if len(r.chunk) == 0 && !r.ended {
		var err error
		if r.chunk, err = r.group.Receive(); err != nil {
			return 0, err
		}
		r.ended = len(r.chunk) == 0
	}
	if r.ended {
		return 0, io.EOF
	}
	n := copy(into, r.chunk)
	r.chunk = r.chunk[n:]
	return n, nil
}

// VerifyEqual compares the fingerprint of something, such as the snapshot, with that of rank 0.
// If that of any rank differs, it fails on all ranks.
func (g *Group) VerifyEqual(name, fingerprint string) error {
	var err error
	expected := []byte(fingerprint)
	if g.Rank == 0 {
		err = g.Broadcast(expected)
	} else {
		expected, err = g.Receive()
	}
	if err != nil {
		return err
	}
	differs := 0
	if string(expected) != fingerprint {
		differs = 1
	}
	all, err := g.AllGather(differs)
	if err != nil {
		return err
	}
	for rank, differs := range all {
		if differs != 0 {
			return fmt.Errorf("rank %d has another %s than rank 0: start all ranks with the same program and settings", rank, name)
		}
	}
	return nil
}

// outcome is how the training ended on rank 0.
type outcome struct {
	Stopped bool   `json:"stopped,omitempty"`
	Failure string `json:"failure,omitempty"`
}

// ErrDone is returned to the other ranks when rank 0 has finished without a failure.
var ErrDone = errors.New("the training is done")

// End tells the other ranks that rank 0 has finished: successfully if reason is nil. Their pending
// or next call returns ErrDone, context.Canceled if that is the reason, or an error with the
// reason.
func (g *Group) End(reason error) error {
	var o outcome
	switch {
	case errors.Is(reason, context.Canceled):
		o.Stopped = true
	case reason != nil:
		o.Failure = reason.Error()
	}
	data, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return g.broadcast(announceEnd, data)
}

// ended receives the outcome and returns it as the error of all further calls.
func (g *Group) ended(bytes int) error {
	data, err := g.receive(bytes)
	if err != nil {
		return err
	}
	var o outcome
	switch err := json.Unmarshal(data, &o); {
	case err != nil:
		g.failed = fmt.Errorf("decode the outcome of rank 0: %w", err)
	case o.Stopped:
		g.failed = fmt.Errorf("rank 0 stopped: %w", context.Canceled)
	case o.Failure != "":
		g.failed = fmt.Errorf("rank 0 failed: %s", o.Failure)
	default:
		g.failed = ErrDone
	}
	return g.failed
}
