package stream

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/backoff"
)

// Timing of group members. The partitions of a member that was killed or disconnected are not
// read until its session times out, so the timeout is the shortest that brokers allow by default;
// kafka-go's defaults are 30 s, and 5 s to rejoin. A live member may take longer to finish its
// work in a rebalance.
const (
	joinBackoff      = 200 * time.Millisecond
	heartbeat        = time.Second
	sessionTimeout   = 6 * time.Second
	rebalanceTimeout = 10 * time.Second
)

// StartOffset is where to start reading a partition.
type StartOffset struct {
	latest bool
	at     time.Time
}

// The beginning and the end of a partition.
var (
	Earliest = StartOffset{}
	Latest   = StartOffset{latest: true}
)

// StartAt returns the offset of the first message that is not older than a time.
func StartAt(at time.Time) StartOffset { return StartOffset{at: at} }

// ParseStartOffset parses "earliest", "latest", or an RFC 3339 time.
func ParseStartOffset(text string) (StartOffset, error) {
	switch text {
	case "earliest":
		return Earliest, nil
	case "latest":
		return Latest, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return StartOffset{}, fmt.Errorf("%q is neither earliest, latest nor a time like 2026-03-01T12:00:00Z", text)
	}
	return StartOffset{at: at}, nil
}

// String returns the text that ParseStartOffset parses.
func (s StartOffset) String() string {
	switch {
	case s.latest:
		return "latest"
	case s.at.IsZero():
		return "earliest"
	}
	return s.at.Format(time.RFC3339)
}

// GroupConfig configures a member of a consumer group.
type GroupConfig struct {
	Kafka       Cluster      // where the topic is
	Group       string       // consumer group
	Topic       string       // topic to read
	StartOffset StartOffset  // for partitions without a committed offset
	Logger      *slog.Logger // of retries, and of topics that are missing or were created again
	// FetchPause returns how long to let messages accumulate between two fetch requests; nil: no
	// pause. A message that arrives later than that after the previous one is not delayed.
	FetchPause func() time.Duration
}

// Consume joins the consumer group and calls process for each assigned partition, each in its own
// goroutine. In a rebalance, the contexts of all calls end, and nothing is fetched or committed
// before all of them have returned: when the next owner of a lost partition begins, none of its
// messages are still in flight here.
//
// While the topic does not exist, the member leaves the group. A topic that was deleted and
// created again is read from its beginning, because the committed offsets belong to its
// predecessor.
//
// Consume returns when ctx ends, or with the first error of process.
func Consume(ctx context.Context, cfg GroupConfig, process func(context.Context, *Partition) error) error {
	metadata, err := newMetadataClient(cfg.Kafka)
	if err != nil {
		return err
	}
	defer metadata.close()
	client, done := cfg.Kafka.freshClient()
	defer done()
	client.Transport = newMergingTransport(client.Transport, cfg.FetchPause)
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	m := member{cfg: cfg, client: client, metadata: metadata, process: process, fail: fail}
	for {
		recreated, err := m.awaitTopic(ctx)
		if err == nil {
			err = m.session(ctx, recreated)
		}
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return err
		}
	}
}

// member is a member of a consumer group across sessions; a session ends when the topic is
// deleted or created again.
type member struct {
	cfg      GroupConfig
	client   *kafka.Client
	metadata *metadataClient
	process  func(context.Context, *Partition) error
	fail     context.CancelCauseFunc
	topic    topicMetadata // of the session
}

// awaitTopic waits until the topic exists, and reports whether it was created again since the
// last session.
func (m *member) awaitTopic(ctx context.Context) (recreated bool, err error) {
	missed := false
	for {
		var found map[string]topicMetadata
		err = backoff.Retry(ctx, m.cfg.Logger, fmt.Sprintf("look up topic %q", m.cfg.Topic), func() (err error) {
			found, err = m.metadata.lookup(ctx, m.cfg.Topic)
			return err
		})
		if err != nil {
			return false, err
		}
		if current := found[m.cfg.Topic]; current.exists() {
			recreated = m.topic.replacedBy(current) || missed && m.topic.exists() && current.id == [16]byte{}
			m.topic = current
			if recreated {
				m.cfg.Logger.WarnContext(ctx, "topic was deleted and created again, reading it from its beginning", "topic", m.cfg.Topic, "group", m.cfg.Group)
			}
			return recreated, nil
		}
		if !missed {
			m.cfg.Logger.ErrorContext(ctx, "topic does not exist, waiting for it", "topic", m.cfg.Topic, "group", m.cfg.Group)
			missed = true
		}
		if err := backoff.Sleep(ctx, watchInterval); err != nil {
			return false, err
		}
	}
}

// session is a member of the group until the topic is deleted or created again. If the topic was
// created again before, the committed offsets belong to its predecessor and are replaced first.
func (m *member) session(ctx context.Context, recreated bool) error {
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
	defer group.Close() // waits for the generation's goroutines; never fails
	ctx, end := context.WithCancel(ctx)
	defer end()
	for {
		generation, err := nextGeneration(ctx, m.cfg, group)
		if err != nil {
			return nil // the session has ended
		}
		generation.Start(func(ended context.Context) {
			if m.awaitTopicChange(ended) {
				end()
			}
		})
		commits := &commitBatcher{send: func(offsets map[int]int64) error {
			return generation.CommitOffsets(map[string]map[int]int64{m.cfg.Topic: offsets})
		}}
		for _, assigned := range generation.Assignments[m.cfg.Topic] {
			committed := assigned.Offset
			if recreated {
				committed = staleOffset
			}
			p := &Partition{Number: assigned.ID, cfg: m.cfg, commits: commits, client: m.client}
			generation.Start(func(ended context.Context) {
				if err := processPartition(ctx, ended, p, committed, m.process); err != nil {
					m.fail(err)
				}
			})
		}
		if recreated && m.commitFirstOffsets(ctx, generation) == nil {
			recreated = false
		}
	}
}

// commitFirstOffsets commits the first offset of every partition, including those of other
// members: a member that has just joined does not know the topic's predecessor. At worst,
// messages are read again.
func (m *member) commitFirstOffsets(ctx context.Context, generation *kafka.Generation) error {
	requests := make([]kafka.OffsetRequest, m.topic.partitions)
	for i := range requests {
		requests[i] = kafka.FirstOffsetOf(i)
	}
	found, err := m.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{m.cfg.Topic: requests}})
	if err != nil {
		return err
	}
	offsets := make(map[int]int64)
	for _, p := range found.Topics[m.cfg.Topic] {
		if err := partitionError(p); err != nil {
			return err
		}
		offsets[p.Partition] = p.FirstOffset
	}
	return generation.CommitOffsets(map[string]map[int]int64{m.cfg.Topic: offsets})
}

// awaitTopicChange returns false when the generation has ended, or when the number of partitions
// has changed, which needs a rebalance. It returns true when the topic was deleted or created
// again. A topic counts as deleted after two lookups: a broker that has just started may not know
// it yet.
func (m *member) awaitTopicChange(ended context.Context) (gone bool) {
	const lookups = 2
	for missed := 0; missed < lookups; {
		if backoff.Sleep(ended, watchInterval) != nil {
			return false
		}
		found, err := m.metadata.lookup(ended, m.cfg.Topic)
		if err != nil {
			continue // fetching reports it
		}
		current := found[m.cfg.Topic]
		switch {
		case !current.exists():
			missed++
		case m.topic.replacedBy(current):
			return true
		case current.partitions != m.topic.partitions:
			m.topic = current
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

// processPartition runs process on a partition. It returns nil if ctx or the generation has ended.
func processPartition(ctx, ended context.Context, p *Partition, committed int64, process func(context.Context, *Partition) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ended, cancel)()
	err := p.seek(ctx, committed)
	if err == nil {
		err = process(ctx, p)
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}
