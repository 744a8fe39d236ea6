package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/segmentio/kafka-go"
)

// ReplayConfig says which dead letters to replay, and how.
type ReplayConfig struct {
	Kafka   Cluster
	Topics  Topics
	Reasons []string // of letters to replay; none: all
	Again   bool     // also what was replayed before
	DryRun  bool     // count only
	Logger  *slog.Logger
	Read    func() // is called with each letter that is read; nil: nobody wants to know
}

// Replayed counts dead letters by what became of them.
type Replayed struct {
	Replayed int
	Before   int // replayed before, or the letter of a replay
	Cut      int // only the beginning of the original is left
	Rejected int // the topic does not take the original: too large, for example
	Foreign  int // from a topic that is none of ours, or no dead letter at all
}

// How far each partition's letters have been replayed is committed like the offsets of a
// consumer group, one for each reason: letters of other reasons keep waiting.
const replayGroup = "genrec-dead-replay-"

const replayBatch = 500

// Replay writes the originals of dead letters to the topics that they were in. A letter
// is replayed once, whatever ends the command in between, except that those of the last
// batch before a kill are replayed again. One that its topic rejects counts as replayed, so
// that the others do not wait for it.
func Replay(ctx context.Context, cfg ReplayConfig) (Replayed, error) {
	r := &replay{
		ReplayConfig: cfg,
		client:       cfg.Kafka.client(),
		writers:      make(map[string]*kafka.Writer),
		done:         make(map[place]int64),
	}
	for _, topic := range []string{cfg.Topics.Interactions, cfg.Topics.Refreshes} {
		w := NewWriter(cfg.Kafka, topic)
		defer w.Close()
		r.writers[topic] = w
	}
	foreign, err := Letters(ctx, cfg.Kafka, cfg.Topics.DeadLetters, Earliest, func(l Letter) error {
		if cfg.Read != nil {
			cfg.Read()
		}
		return r.take(ctx, l)
	})
	r.count.Foreign += foreign
	if err == nil {
		err = r.flush(ctx)
	}
	return r.count, err
}

type replay struct {
	ReplayConfig
	client  *kafka.Client
	writers map[string]*kafka.Writer // by topic
	count   Replayed
	batch   []Letter
	done    map[place]int64 // offsets up to which letters were replayed
}

// place is where letters of one reason are.
type place struct {
	reason    string
	partition int
}

func (r *replay) take(ctx context.Context, l Letter) error {
	if r.writers[l.Original.Topic] == nil {
		r.count.Foreign++
		return nil
	}
	if len(r.Reasons) > 0 && !slices.Contains(r.Reasons, l.Reason) {
		return nil
	}
	before, err := r.before(ctx, l)
	switch {
	case err != nil:
		return err
	case before && !r.Again:
		r.count.Before++
		return nil
	case l.CutFrom > 0:
		r.count.Cut++
		return nil
	}
	r.batch = append(r.batch, l)
	if len(r.batch) < replayBatch {
		return nil
	}
	return r.flush(ctx)
}

// before says whether a letter was replayed before.
func (r *replay) before(ctx context.Context, l Letter) (bool, error) {
	at := place{l.Reason, l.Partition}
	if _, known := r.done[at]; !known {
		response, err := r.client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{
			GroupID: replayGroup + l.Reason, Topics: map[string][]int{l.Topic: {l.Partition}},
		})
		if err == nil && !errors.Is(response.Error, kafka.GroupIdNotFound) { // as long as there is nothing
			err = response.Error
		}
		if err != nil {
			return false, fmt.Errorf("look up what was replayed of reason %q: %w", l.Reason, err)
		}
		r.done[at] = 0
		for _, p := range response.Topics[l.Topic] {
			if p.Error != nil {
				return false, fmt.Errorf("look up what was replayed of reason %q: %w", l.Reason, p.Error)
			}
			r.done[at] = max(0, p.CommittedOffset)
		}
	}
	return l.Offset < r.done[at] || l.IsReplay(), nil
}

func (r *replay) flush(ctx context.Context) error {
	byTopic := make(map[string][]kafka.Message)
	for _, l := range r.batch {
		m := l.Replay()
		topic := m.Topic
		m.Topic = "" // the writer has it
		byTopic[topic] = append(byTopic[topic], m)
	}
	rejected := 0
	if !r.DryRun {
		for topic, messages := range byTopic {
			err := Publish(ctx, r.Logger, r.writers[topic], messages...)
			if refused := (*RejectedError)(nil); errors.As(err, &refused) {
				r.Logger.ErrorContext(ctx, "passed over dead letters", "topic", topic, "letters", len(refused.Messages), "err", err)
				rejected += len(refused.Messages)
			} else if err != nil {
				return err
			}
		}
		if err := r.commit(ctx); err != nil {
			return err
		}
	}
	r.count.Replayed += len(r.batch) - rejected
	r.count.Rejected += rejected
	r.batch = r.batch[:0]
	return nil
}

func (r *replay) commit(ctx context.Context) error {
	next := make(map[place]int64)
	for _, l := range r.batch {
		at := place{l.Reason, l.Partition}
		next[at] = max(r.done[at], l.Offset+1)
	}
	for at, offset := range next {
		if offset == r.done[at] {
			continue
		}
		response, err := r.client.OffsetCommit(ctx, &kafka.OffsetCommitRequest{
			GroupID: replayGroup + at.reason, GenerationID: -1,
			Topics: map[string][]kafka.OffsetCommit{r.Topics.DeadLetters: {{Partition: at.partition, Offset: offset}}},
		})
		if err == nil {
			for _, p := range response.Topics[r.Topics.DeadLetters] {
				err = p.Error
			}
		}
		if err != nil {
			return fmt.Errorf("commit what was replayed of reason %q: %w", at.reason, err)
		}
		r.done[at] = offset
	}
	return nil
}
