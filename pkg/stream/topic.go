package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// topic is what Kafka knows of one. Its id is of this topic alone: one that is created again
// under the same name has another one. Kafka before 2.8 has none.
type topic struct {
	id         [16]byte
	partitions int // 0: there is no such topic
}

func (t topic) exists() bool { return t.partitions > 0 }

// recreated tells whether other is not the same topic.
func (t topic) recreated(other topic) bool { return t.exists() && other.exists() && t.id != other.id }

// lookTimeout bounds one look at topics.
const lookTimeout = 5 * time.Second

// looker looks at topics without a cache, and without creating those that are missing. kafka-go
// has no ids of topics.
type looker struct{ client *kgo.Client }

func newLooker(c Cluster) (*looker, error) {
	options := []kgo.Opt{kgo.SeedBrokers(c.Brokers...), kgo.RequestRetries(1), kgo.DisableClientMetrics()}
	if c.TLS != nil {
		options = append(options, kgo.DialTLSConfig(c.TLS))
	}
	if l, ok := c.SASL.(login); ok {
		options = append(options, kgo.SASL(l.forFranz()))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return nil, fmt.Errorf("connect to Kafka %v: %w", c, err)
	}
	return &looker{client}, nil
}

func (l *looker) close() { l.client.Close() }

// look returns topics by name, those that are missing included.
func (l *looker) look(ctx context.Context, names ...string) (map[string]topic, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	request := kmsg.NewPtrMetadataRequest()
	for _, name := range names {
		asked := kmsg.NewMetadataRequestTopic()
		asked.Topic = &name
		request.Topics = append(request.Topics, asked)
	}
	response, err := request.RequestWith(ctx, l.client)
	if err != nil {
		return nil, fmt.Errorf("look up the topics %q: %w", names, err)
	}
	found := make(map[string]topic)
	for _, t := range response.Topics {
		switch err := kerr.ErrorForCode(t.ErrorCode); {
		case t.Topic == nil:
		case err == nil:
			found[*t.Topic] = topic{id: t.TopicID, partitions: len(t.Partitions)}
		case !errors.Is(err, kerr.UnknownTopicOrPartition):
			return nil, fmt.Errorf("look up the topic %q: %w", *t.Topic, err)
		}
	}
	return found, nil
}
