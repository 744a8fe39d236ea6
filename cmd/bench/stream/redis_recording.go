package stream

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/event"
	"genrec/pkg/recs"
	"genrec/sessions"
)

const replayConnections = 4

// Phases of a replay: the commands of ingest and infer for an event of a user.
const (
	appendPhase = iota
	readPhase
	writePhase
	phases
)

var phaseNames = [phases]string{"appends", "reads", "writes"}

// recording has the pipelines of a replay by phase, node and connection.
type recording struct {
	users     int
	pipelines [phases]map[string][replayConnections][]pipeline
}

// pipeline is a sequence of encoded commands.
type pipeline struct {
	bytes    []byte
	commands int
}

// recorder records the bytes that a client sends, by node.
type recorder struct {
	mu   sync.Mutex
	sent map[string]*bytes.Buffer // by HOST:PORT
}

func newRecorder() *recorder { return &recorder{sent: make(map[string]*bytes.Buffer)} }

// recorded is a connection that records the bytes written to it.
type recorded struct {
	net.Conn
	written *bytes.Buffer
}

// Write implements net.Conn.
func (r recorded) Write(p []byte) (int, error) {
	r.written.Write(p)
	return r.Conn.Write(p)
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

// take returns the bytes sent to each node since the last call.
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

// record executes one append, one read and one write for each user, in batches, and returns the commands. It
// appends an event to each history.
func (b *initialState) record(ctx context.Context) (*recording, error) {
	r := newRecorder()
	client := b.env.newRedisClient(func(o *redis.UniversalOptions) {
		o.PoolSize, o.MaxRetries, o.MaxRedirects = 1, -1, -1 // retries would be recorded, too
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

// send executes a phase for some users.
func (b *initialState) send(ctx context.Context, store *sessions.Store, phase int, users []int, rng *rand.Rand) error {
	w := b.workload
	switch phase {
	case appendPhase:
		var events []sessions.UserEvents
		for _, user := range users {
			e := w.eventOf(user, time.Now())
			events = append(events, sessions.UserEvents{User: e.User, Events: []event.Event{e}})
		}
		_, err := store.Append(ctx, events)
		return err
	case readPhase:
		ids := make([]string, len(users))
		for i, user := range users {
			ids[i] = w.users[user].ID
		}
		if _, err := store.Sequences(ctx, ids); err != nil {
			return err
		}
		_, err := store.Lists(ctx, ids)
		return err
	}
	var lists []recs.List
	for _, user := range users {
		lists = append(lists, w.list(user, b.model, w.versions[user], rng))
	}
	_, err := store.PutLists(ctx, lists)
	return err
}

// connectionCommands are the commands for managing connections.
var connectionCommands = map[string]bool{"hello": true, "client": true, "cluster": true, "command": true, "ping": true}

// dataCommands returns the commands that a client sent, without connection commands.
func dataCommands(sent []byte) (p pipeline, err error) {
	for len(sent) > 0 {
		source := bytes.NewReader(sent)
		r := bufio.NewReader(source)
		if err := skipReply(r); err != nil {
			return p, fmt.Errorf("split commands: %w", err)
		}
		size := len(sent) - source.Len() - r.Buffered()
		if !connectionCommands[commandName(sent[:size])] {
			p.bytes = append(p.bytes, sent[:size]...)
			p.commands++
		}
		sent = sent[size:]
	}
	return p, nil
}

// commandName returns the first word of a command, in lower case.
func commandName(command []byte) string {
	lines := bytes.SplitN(command, []byte("\r\n"), 4) // *COUNT, $LENGTH, NAME, arguments
	if len(lines) < 3 {
		return ""
	}
	return strings.ToLower(string(lines[2]))
}

// skipReply skips a value of the Redis protocol, RESP2. It returns error replies as errors.
func skipReply(r *bufio.Reader) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	kind, text := line[0], bytes.TrimRight(line[1:], "\r\n")
	switch kind {
	case '+', ':':
		return nil
	case '-':
		return fmt.Errorf("error reply from Redis: %q", text)
	case '$', '*':
	default:
		return fmt.Errorf("unexpected reply %.100q", line)
	}
	n, err := strconv.Atoi(string(text))
	if err != nil {
		return fmt.Errorf("unexpected reply %.100q", line)
	}
	if kind == '$' {
		if n >= 0 {
			_, err = r.Discard(n + 2) // with \r\n
		}
		return err
	}
	for range n {
		if err := skipReply(r); err != nil {
			return err
		}
	}
	return nil
}
