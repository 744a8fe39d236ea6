package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/segmentio/kafka-go/protocol"

	"genrec/inference"
	"genrec/ingest"
	"genrec/pkg/stream"
)

const (
	kafkaSubject  = "Kafka"
	topicsSubject = "topics"

	unreachableHint = "run a Kafka that can be reached at its advertised addresses"
)

// Kafka checks that a Kafka cluster can be reached, that it grants the permissions that the
// services need, and that the topics exist and are configured as genrec needs them.
type Kafka struct {
	Cluster stream.Cluster // where it is
	History bool           // check the permissions of ingest --history, too
}

// Check is the Check.
func (k Kafka) Check(ctx context.Context) []Finding {
	if err := stream.CheckConnection(ctx, k.Cluster); err != nil {
		return []Finding{
			failed(kafkaSubject, err, cmp.Or(stream.Hint(err), unreachableHint)),
			failed(topicsSubject, errors.New("not checked: Kafka cannot be reached"), "see the finding on Kafka"),
		}
	}
	all := []Finding{
		k.checkPermissions(ctx, "ingest", ingest.Config{}.Permissions()),
		k.checkPermissions(ctx, "infer", inference.Config{}.Permissions()),
	}
	if k.History {
		all = append(all, k.checkPermissions(ctx, "ingest --history", ingest.HistoryConfig{}.Permissions()))
	}
	return append(all, k.checkTopics(ctx)...)
}

func (k Kafka) checkPermissions(ctx context.Context, service string, permissions stream.Permissions) Finding {
	err := stream.CheckPermissions(ctx, k.Cluster, permissions)
	switch {
	case err == nil:
		return ok(kafkaSubject, "%v allows everything that %s does", k.Cluster, service)
	case errors.Is(err, protocol.ErrNoTopic):
		return failed(kafkaSubject, err, "start "+service+", which creates the topics, or create them")
	default:
		return failed(kafkaSubject, fmt.Errorf("%v, permissions of %s: %w", k.Cluster, service, err), cmp.Or(stream.Hint(err), unreachableHint))
	}
}

func (k Kafka) checkTopics(ctx context.Context) (all []Finding) {
	states, err := stream.InspectTopics(ctx, k.Cluster, stream.DefaultTopics())
	if err != nil {
		return []Finding{failed(topicsSubject, err, cmp.Or(stream.Hint(err), unreachableHint))}
	}
	for _, topic := range states {
		if topic.Compacted {
			all = append(all, failed(topicsSubject, fmt.Errorf("topic %q is compacted: Kafka keeps only the newest event of each user", topic.Name), "set its cleanup.policy to delete"))
		}
		switch {
		case topic.Partitions == 0:
			all = append(all, failed(topicsSubject, fmt.Errorf("topic %q does not exist", topic.Name), "start ingest, which creates the topics, or create them"))
		case len(topic.WrongSettings) > 0:
			all = append(all, failed(topicsSubject, fmt.Errorf("topic %q has %s", topic.Name, strings.Join(topic.WrongSettings, ", ")),
				fmt.Sprintf("set max.message.bytes to %d or more; for the dead-letter topic to %d, with cleanup.policy=compact,delete", stream.MaxBytes, stream.MaxDeadLetterBytes)))
		case topic.Compacted: // reported above
		case topic.SettingsErr != nil:
			all = append(all, unchecked(topicsSubject, fmt.Sprintf("%q has %d partitions; max.message.bytes and cleanup.policy are not checked: %v", topic.Name, topic.Partitions, topic.SettingsErr),
				"permit DescribeConfigs of the topic to this user"))
		default:
			all = append(all, ok(topicsSubject, "%q has %d partitions, for as many processes", topic.Name, topic.Partitions))
		}
	}
	return all
}
