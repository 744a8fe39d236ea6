package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/urfave/cli/v3"

	"genrec/inference"
	"genrec/ingest"
	"genrec/pkg/stream"
)

// reachable is the remedy for a Kafka that does not answer.
const reachable = "let a Kafka run there that can be reached at what it advertises"

func examineKafka(ctx context.Context, cmd *cli.Command) []finding {
	const subject = "Kafka"
	if len(cmd.StringSlice("kafka")) == 0 {
		return []finding{healthy(subject, "not examined: no --kafka")}
	}
	cluster, err := kafkaCluster(cmd)
	if err != nil {
		return []finding{ill(subject, err, "")}
	}
	if err := stream.Reach(ctx, cluster); err != nil {
		return []finding{ill(subject, err, cmp.Or(stream.Remedy(err), reachable)), ill("topics", errors.New("not examined: Kafka cannot be reached"), "see what is said of Kafka")}
	}
	services := []serviceAccess{{"ingest", ingest.Config{}.Permissions()}, {"infer", inference.Config{}.Permissions()}}
	if cmd.String("history") != "" {
		services = append(services, serviceAccess{"ingest --history", ingest.HistoryConfig{}.Permissions()})
	}
	var all []finding
	for _, service := range services {
		all = append(all, service.examine(ctx, cluster))
	}
	return append(all, examineTopics(ctx, cluster)...)
}

// serviceAccess is what a service does in Kafka.
type serviceAccess struct {
	name   string
	access stream.Permissions
}

func (s serviceAccess) examine(ctx context.Context, cluster stream.Cluster) finding {
	const subject = "Kafka"
	err := stream.CheckPermissions(ctx, cluster, s.access)
	switch {
	case err == nil:
		return healthy(subject, "%v allows all that %s does", cluster, s.name)
	case errors.Is(err, protocol.ErrNoTopic):
		return ill(subject, err, "start "+s.name+", which creates the topics, or create them")
	default:
		return ill(subject, fmt.Errorf("%v as %s uses it: %w", cluster, s.name, err), cmp.Or(stream.Remedy(err), reachable))
	}
}

func examineTopics(ctx context.Context, cluster stream.Cluster) (all []finding) {
	const subject = "topics"
	states, err := stream.ExamineTopics(ctx, cluster, stream.DefaultTopics())
	if err != nil {
		return []finding{ill(subject, err, cmp.Or(stream.Remedy(err), reachable))}
	}
	for _, topic := range states {
		if topic.Compacted {
			all = append(all, ill(subject, fmt.Errorf("topic %q is compacted: Kafka drops all but the newest event of a user", topic.Name), "set its cleanup.policy to delete"))
		}
		switch {
		case topic.Partitions == 0:
			all = append(all, ill(subject, fmt.Errorf("there is no topic %q", topic.Name), "start ingest, which creates the topics, or create them"))
		case len(topic.Wrong) > 0:
			all = append(all, ill(subject, fmt.Errorf("topic %q has %s", topic.Name, strings.Join(topic.Wrong, ", ")),
				fmt.Sprintf("set max.message.bytes to %d or more, and of the dead letters to %d with cleanup.policy=compact,delete", stream.MaxBytes, stream.MaxDeadLetterBytes)))
		case topic.Compacted: // told above
		case topic.Untold != nil:
			all = append(all, unchecked(subject, fmt.Sprintf("%q has %d partitions; its max.message.bytes and cleanup.policy are not checked: %v", topic.Name, topic.Partitions, topic.Untold),
				"permit DescribeConfigs of the topic to this user"))
		default:
			all = append(all, healthy(subject, "%q has %d partitions, for as many processes", topic.Name, topic.Partitions))
		}
	}
	return all
}
