package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/segmentio/kafka-go"
)

// ReplayConfig selects the dead letters to replay.
type ReplayConfig struct {
	Kafka           Cluster      // where the topics are
	Topics          Topics       // names of the topics
	Reasons         []string     // reason codes to replay; empty: all
	IncludeReplayed bool         // replay also what was replayed before
	DryRun          bool         // count without replaying
	Logger          *slog.Logger // for rejected messages and retries
	OnRead          func()       // called for each dead letter that is read; nil: no callback
}

// ReplayResult counts dead letters by outcome.
type ReplayResult struct {
	Replayed        int // by this run; in a dry run, would be
	AlreadyReplayed int // by an earlier run, or the original was itself a replay
	Truncated       int // not replayed: only the beginning of the original is left
	Rejected        int // by the topic of the original, for example because it is too large
	Foreign         int // not replayed: not a dead letter, or the original is from another topic
}

// replayGroupPrefix and a reason code form the consumer group that the replay progress is
// committed for. Each reason has its own offsets, so that a replay of one reason does not skip the
// dead letters of others.
const replayGroupPrefix = "genrec-dead-replay-"

const replayBatch = 500

// ReplayDeadLetters writes the originals of dead letters to their topics. A dead letter is
// replayed once, also if a run is interrupted, except that those of the last batch before a kill
// are replayed again. A dead letter that its topic rejects counts as replayed, so that it does
// not block the others.
func ReplayDeadLetters(ctx context.Context, cfg ReplayConfig) (ReplayResult, error) {
	r := &replay{
		ReplayConfig: cfg,
		client:       cfg.Kafka.client(),
		writers:      make(map[string]*kafka.Writer),
		replayed:     make(map[replayKey]int64),
	}
	for _, topic := range []string{cfg.Topics.Interactions, cfg.Topics.Refreshes} {
		w := NewWriter(cfg.Kafka, topic)
		defer w.Close()
		r.writers[topic] = w
	}
	foreign, err := ScanDeadLetters(ctx, cfg.Kafka, cfg.Topics.DeadLetters, Earliest, func(d DeadLetter) error {
		if cfg.OnRead != nil {
			cfg.OnRead()
		}
		return r.add(ctx, d)
	})
	r.result.Foreign += foreign
	if err == nil {
		err = r.flush(ctx)
	}
	return r.result, err
}

// replay is the state of a ReplayDeadLetters call.
type replay struct {
	ReplayConfig
	client   *kafka.Client
	writers  map[string]*kafka.Writer // by topic
	result   ReplayResult
	batch    []DeadLetter
	replayed map[replayKey]int64 // committed offsets: those before were replayed
}

type replayKey struct {
	reason    string
	partition int
}

func (r *replay) add(ctx context.Context, d DeadLetter) error {
	if r.writers[d.Original.Topic] == nil {
		r.result.Foreign++
		return nil
	}
	if len(r.Reasons) > 0 && !slices.Contains(r.Reasons, d.Reason) {
		return nil
	}
	done, err := r.wasReplayed(ctx, d)
	switch {
	case err != nil:
		return err
	case done && !r.IncludeReplayed:
		r.result.AlreadyReplayed++
		return nil
	case d.TruncatedFrom > 0:
		r.result.Truncated++
		return nil
	}
	r.batch = append(r.batch, d)
	if len(r.batch) < replayBatch {
		return nil
	}
	return r.flush(ctx)
}

func (r *replay) wasReplayed(ctx context.Context, d DeadLetter) (bool, error) {
	key := replayKey{d.Reason, d.Partition}
	if _, known := r.replayed[key]; !known {
		response, err := r.client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{
			GroupID: replayGroupPrefix + d.Reason, Topics: map[string][]int{d.Topic: {d.Partition}},
		})
		if err == nil && !errors.Is(response.Error, kafka.GroupIdNotFound) { // nothing committed yet
			err = response.Error
		}
		if err != nil {
			return false, fmt.Errorf("look up the replay progress of reason %q: %w", d.Reason, err)
		}
		r.replayed[key] = 0
		for _, p := range response.Topics[d.Topic] {
			if p.Error != nil {
				return false, fmt.Errorf("look up the replay progress of reason %q: %w", d.Reason, p.Error)
			}
			r.replayed[key] = max(0, p.CommittedOffset)
		}
	}
	return d.Offset < r.replayed[key] || d.IsReplay(), nil
}

func (r *replay) flush(ctx context.Context) error {
	byTopic := make(map[string][]kafka.Message)
	for _, d := range r.batch {
		m := d.ReplayMessage()
		topic := m.Topic
		m.Topic = "" // kafka-go: set on either the writer or the message
		byTopic[topic] = append(byTopic[topic], m)
	}
	rejected := 0
	if !r.DryRun {
		for topic, messages := range byTopic {
			err := Publish(ctx, r.Logger, r.writers[topic], messages...)
			if rejection := (*RejectedError)(nil); errors.As(err, &rejection) {
				r.Logger.ErrorContext(ctx, "topic rejects replayed messages, skipping them", "topic", topic, "messages", len(rejection.Messages), "err", err)
				rejected += len(rejection.Messages)
			} else if err != nil {
				return err
			}
		}
		if err := r.commit(ctx); err != nil {
			return err
		}
	}
	r.result.Replayed += len(r.batch) - rejected
	r.result.Rejected += rejected
	r.batch = r.batch[:0]
	return nil
}

func (r *replay) commit(ctx context.Context) error {
	next := make(map[replayKey]int64)
	for _, d := range r.batch {
		key := replayKey{d.Reason, d.Partition}
		next[key] = max(r.replayed[key], d.Offset+1)
	}
	for key, offset := range next {
		if offset == r.replayed[key] {
			continue
		}
		response, err := r.client.OffsetCommit(ctx, &kafka.OffsetCommitRequest{
			GroupID: replayGroupPrefix + key.reason, GenerationID: -1,
			Topics: map[string][]kafka.OffsetCommit{r.Topics.DeadLetters: {{Partition: key.partition, Offset: offset}}},
		})
		if err == nil {
			for _, p := range response.Topics[r.Topics.DeadLetters] {
				err = p.Error
			}
		}
		if err != nil {
			return fmt.Errorf("commit the replay progress of reason %q: %w", key.reason, err)
		}
		r.replayed[key] = offset
	}
	return nil
}
