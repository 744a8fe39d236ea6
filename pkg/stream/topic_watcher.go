package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"genrec/pkg/backoff"
)

const (
	// watchInterval is the time between two metadata lookups of a topic, by consumers and by
	// TopicWatcher.
	watchInterval = time.Second
	// createDelay is how long a topic must be missing before it is created again: whoever has
	// deleted it may be about to create it with other settings.
	createDelay = 3 * time.Second
	// rejoinTime is how long consumers and producers take to find a topic that was created again.
	rejoinTime = 5 * time.Second
	// lookupTimeout bounds one metadata lookup.
	lookupTimeout = 5 * time.Second
)

// TopicWatcher watches the topics while services run, and creates deleted ones again with the
// number of partitions that they had.
type TopicWatcher struct {
	cluster Cluster
	topics  Topics
	logger  *slog.Logger

	partitions   map[string]int // to create topics with
	known        map[string]topicMetadata
	missingSince map[string]time.Time

	mu         sync.Mutex
	problem    error     // about missing topics
	readyAfter time.Time // when consumers have found topics that were created again
}

// NewTopicWatcher returns a TopicWatcher; Run starts it. partitions is the number for topics
// that it has never seen.
func NewTopicWatcher(cluster Cluster, topics Topics, partitions int, logger *slog.Logger) *TopicWatcher {
	w := &TopicWatcher{
		cluster: cluster, topics: topics, logger: logger,
		partitions: make(map[string]int), known: make(map[string]topicMetadata), missingSince: make(map[string]time.Time),
	}
	for _, name := range topics.names() {
		w.partitions[name] = partitions
	}
	return w
}

// Ready returns an error while topics are missing, or were created so recently that consumers
// may not have found them.
func (w *TopicWatcher) Ready() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.problem == nil && time.Now().Before(w.readyAfter) {
		return errors.New("topics were created again: consumers are joining")
	}
	return w.problem
}

// Run watches until ctx ends, and then returns nil.
func (w *TopicWatcher) Run(ctx context.Context) error {
	metadata, err := newMetadataClient(w.cluster)
	if err != nil {
		return err
	}
	defer metadata.close()
	lastError := ""
	for backoff.Sleep(ctx, watchInterval) == nil {
		found, err := metadata.lookup(ctx, w.topics.names()...)
		if err != nil {
			continue // consumers and producers report it
		}
		overdue := w.update(ctx, found, time.Now())
		if len(overdue) == 0 {
			continue
		}
		if err := w.create(ctx, overdue); err != nil && err.Error() != lastError && ctx.Err() == nil {
			lastError = err.Error() // logged once
			w.logger.ErrorContext(ctx, "cannot create deleted topics", "topics", overdue, "err", withHint(err))
		}
	}
	return nil
}

// update records which topics exist, and returns those that have been missing for createDelay.
func (w *TopicWatcher) update(ctx context.Context, found map[string]topicMetadata, now time.Time) (overdue []string) {
	var missing []string
	changed := false
	for _, name := range w.topics.names() {
		current, previous := found[name], w.known[name]
		since, wasMissing := w.missingSince[name]
		switch {
		case current.exists():
			changed = changed || wasMissing || previous.replacedBy(current)
			delete(w.missingSince, name)
			w.known[name], w.partitions[name] = current, current.partitions
		case !wasMissing:
			w.missingSince[name] = now
			w.logger.ErrorContext(ctx, "topic is missing, creating it again", "topic", name, "in", createDelay)
			missing = append(missing, name)
		default:
			missing = append(missing, name)
			if now.Sub(since) >= createDelay {
				overdue = append(overdue, name)
			}
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if changed {
		w.readyAfter = now.Add(rejoinTime)
	}
	w.problem = nil
	if len(missing) > 0 {
		w.problem = fmt.Errorf("topics are missing: %s", strings.Join(missing, ", "))
	}
	return overdue
}

func (w *TopicWatcher) create(ctx context.Context, names []string) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	configs := w.topics.configs(0)
	configs = slices.DeleteFunc(configs, func(c kafka.TopicConfig) bool { return !slices.Contains(names, c.Topic) })
	for i := range configs {
		configs[i].NumPartitions = w.partitions[configs[i].Topic]
	}
	client, done := w.cluster.freshClient()
	defer done()
	if err := createTopics(ctx, client, w.cluster, configs); err != nil {
		return err
	}
	w.logger.WarnContext(ctx, "created deleted topics again, with default settings; their messages are lost", "topics", names)
	return nil
}

// topicMetadata identifies a topic. A topic that is deleted and created again under the same name
// gets another id. Kafka before 2.8 has no ids.
type topicMetadata struct {
	id         [16]byte
	partitions int // 0: the topic does not exist
}

func (t topicMetadata) exists() bool { return t.partitions > 0 }

// replacedBy reports whether both topics exist and differ.
func (t topicMetadata) replacedBy(other topicMetadata) bool {
	return t.exists() && other.exists() && t.id != other.id
}

// metadataClient looks up topics without a cache, and without creating missing ones.
type metadataClient struct{ client *kgo.Client }

func newMetadataClient(c Cluster) (*metadataClient, error) {
	options := []kgo.Opt{kgo.SeedBrokers(c.Brokers...), kgo.RequestRetries(1), kgo.DisableClientMetrics()}
	if c.TLS != nil {
		options = append(options, kgo.DialTLSConfig(c.TLS))
	}
	if m, ok := c.SASL.(saslMechanism); ok {
		options = append(options, kgo.SASL(m.forFranz()))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return nil, fmt.Errorf("connect to Kafka %v: %w", c, err)
	}
	return &metadataClient{client}, nil
}

func (c *metadataClient) close() { c.client.Close() }

// lookup returns the existing topics by name.
func (c *metadataClient) lookup(ctx context.Context, names ...string) (map[string]topicMetadata, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	request := kmsg.NewPtrMetadataRequest()
	for _, name := range names {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = &name
		request.Topics = append(request.Topics, topic)
	}
	response, err := request.RequestWith(ctx, c.client)
	if err != nil {
		return nil, fmt.Errorf("look up the topics %q: %w", names, err)
	}
	found := make(map[string]topicMetadata)
	for _, t := range response.Topics {
		switch err := kerr.ErrorForCode(t.ErrorCode); {
		case t.Topic == nil:
		case err == nil:
			found[*t.Topic] = topicMetadata{id: t.TopicID, partitions: len(t.Partitions)}
		case !errors.Is(err, kerr.UnknownTopicOrPartition):
			return nil, fmt.Errorf("look up the topic %q: %w", *t.Topic, err)
		}
	}
	return found, nil
}
