package stream

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/backoff"
)

// Of members of groups. What a member that was killed or cut off had to read rests until
// its session ends, so that is the shortest which brokers allow by default; kafka-go's
// defaults would be 30 seconds of that, and 5 to come back. A member that lives may take
// longer to end its work when the partitions are given out anew.
const (
	joinBackoff      = 200 * time.Millisecond
	heartbeat        = time.Second
	sessionTimeout   = 6 * time.Second
	rebalanceTimeout = 10 * time.Second
)

// watchEvery is how often members look whether their topic is still the same.
const watchEvery = time.Second

// GroupConfig is what a member of a consumer group needs to know.
type GroupConfig struct {
	Kafka  Cluster
	Group  string
	Topic  string
	Start  Start // of partitions that the group has committed nothing of
	Logger *slog.Logger
	// Pause is how long to let messages gather between two requests for them; nil: not at all.
	// It delays no message that comes later than that after the one before.
	Pause func() time.Duration
}

// Consume joins the group and runs work for each partition that it is given, each in
// a goroutine of its own. When the partitions are given out anew, the context of all
// work ends, and nothing is read or committed before all of it has returned: no message
// of a partition that was lost is still under way when its next owner's begin.
//
// While the topic is missing, nobody is a member. One that was deleted and created again is
// read from its beginning: offsets that are still committed are those of the topic before.
//
// Consume ends with ctx, or with the first error of work.
func Consume(ctx context.Context, cfg GroupConfig, work func(context.Context, *Partition) error) error {
	looker, err := newLooker(cfg.Kafka)
	if err != nil {
		return err
	}
	defer looker.close()
	client, done := cfg.Kafka.freshClient()
	defer done()
	client.Transport = newMerger(client.Transport, cfg.Pause)
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	m := member{cfg: cfg, client: client, looker: looker, work: work, fail: fail}
	for {
		anew, err := m.awaitTopic(ctx)
		if err == nil {
			err = m.session(ctx, anew)
		}
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return err
		}
	}
}

// member is one of a group, while the topic is the same and when it is another one.
type member struct {
	cfg    GroupConfig
	client *kafka.Client
	looker *looker
	work   func(context.Context, *Partition) error
	fail   context.CancelCauseFunc
	topic  topic // that is being read
}

// awaitTopic waits until the topic exists, and tells whether it is another one than before.
func (m *member) awaitTopic(ctx context.Context) (anew bool, err error) {
	missed := false
	for {
		var found map[string]topic
		err = backoff.Retry(ctx, m.cfg.Logger, fmt.Sprintf("look up topic %q", m.cfg.Topic), func() (err error) {
			found, err = m.looker.look(ctx, m.cfg.Topic)
			return err
		})
		if err != nil {
			return false, err
		}
		if now := found[m.cfg.Topic]; now.exists() {
			anew = now.recreated(m.topic) || missed && m.topic.exists() && now.id == [16]byte{}
			m.topic = now
			if anew {
				m.cfg.Logger.WarnContext(ctx, "a topic was deleted and created again: reading it from its beginning", "topic", m.cfg.Topic, "group", m.cfg.Group)
			}
			return anew, nil
		}
		if !missed {
			m.cfg.Logger.ErrorContext(ctx, "a topic does not exist: waiting for it", "topic", m.cfg.Topic, "group", m.cfg.Group)
			missed = true
		}
		if err := backoff.Sleep(ctx, watchEvery); err != nil {
			return false, err
		}
	}
}

// session is a member of the group until the topic is gone or another one. If it is anew, what
// the group has committed is of the topic before, and replaced first.
func (m *member) session(ctx context.Context, anew bool) error {
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID:                m.cfg.Group,
		Brokers:           m.cfg.Kafka.Brokers,
		Dialer:            m.cfg.Kafka.Dialer(),
		Topics:            []string{m.cfg.Topic},
		StartOffset:       kafka.FirstOffset,
		JoinGroupBackoff:  joinBackoff,
		HeartbeatInterval: heartbeat,
		SessionTimeout:    sessionTimeout,
		RebalanceTimeout:  rebalanceTimeout,
	})
	if err != nil {
		return fmt.Errorf("join group %q: %w", m.cfg.Group, err)
	}
	defer group.Close() // waits for the work, and never fails
	ctx, end := context.WithCancel(ctx)
	defer end()
	for {
		generation, err := nextGeneration(ctx, m.cfg, group)
		if err != nil {
			return nil // of the session's end
		}
		generation.Start(func(ended context.Context) {
			if m.awaitChange(ended) {
				end()
			}
		})
		commits := &commits{send: func(offsets map[int]int64) error {
			return generation.CommitOffsets(map[string]map[int]int64{m.cfg.Topic: offsets})
		}}
		for _, assigned := range generation.Assignments[m.cfg.Topic] {
			committed := assigned.Offset
			if anew {
				committed = ofAnotherTopic
			}
			generation.Start(func(ended context.Context) {
				if err := own(ctx, ended, &Partition{Number: assigned.ID, cfg: m.cfg, commits: commits, client: m.client}, committed, m.work); err != nil {
					m.fail(err)
				}
			})
		}
		if anew && m.commitBeginnings(ctx, generation) == nil {
			anew = false
		}
	}
}

// commitBeginnings commits the beginning of every partition, also of those of other members: one
// that has just come knows of no topic before. It costs them nothing but that messages may be
// read again.
func (m *member) commitBeginnings(ctx context.Context, generation *kafka.Generation) error {
	asked := make([]kafka.OffsetRequest, m.topic.partitions)
	for i := range asked {
		asked[i] = kafka.FirstOffsetOf(i)
	}
	found, err := m.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{m.cfg.Topic: asked}})
	if err != nil {
		return err
	}
	beginnings := make(map[int]int64)
	for _, p := range found.Topics[m.cfg.Topic] {
		if err := partitionError(p); err != nil {
			return err
		}
		beginnings[p.Partition] = p.FirstOffset
	}
	return generation.CommitOffsets(map[string]map[int]int64{m.cfg.Topic: beginnings})
}

// awaitChange returns when the generation has ended, when the topic has another number of
// partitions, which are then given out anew, and, with true, when it is gone or another one. A
// single look that misses it may be at a broker that has just started.
func (m *member) awaitChange(ended context.Context) (gone bool) {
	const looks = 2
	for missed := 0; missed < looks; {
		if backoff.Sleep(ended, watchEvery) != nil {
			return false
		}
		found, err := m.looker.look(ended, m.cfg.Topic)
		if err != nil {
			continue // the work meets it, too
		}
		now := found[m.cfg.Topic]
		switch {
		case !now.exists():
			missed++
		case now.recreated(m.topic):
			return true
		case now.partitions != m.topic.partitions:
			m.topic = now
			return false
		default:
			missed = 0
		}
	}
	return true
}

func nextGeneration(ctx context.Context, cfg GroupConfig, group *kafka.ConsumerGroup) (generation *kafka.Generation, err error) {
	what := fmt.Sprintf("join group %q to read topic %q", cfg.Group, cfg.Topic)
	err = backoff.Retry(ctx, cfg.Logger, what, func() (err error) {
		generation, err = group.Next(ctx)
		return err
	})
	return generation, err
}

// own works on a partition until ctx or the generation ends, and then returns nil.
func own(ctx, ended context.Context, p *Partition, committed int64, work func(context.Context, *Partition) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ended, cancel)()
	err := p.seek(ctx, committed)
	if err == nil {
		err = work(ctx, p)
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}
