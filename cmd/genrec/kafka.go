package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/urfave/cli/v3"

	"genrec/cmd/genrec/settings"
	"genrec/pkg/stream"
)

// kafkaCluster is what the flags name, without brokers if there is no --kafka.
func kafkaCluster(cmd *cli.Command) (stream.Cluster, error) {
	a, wrong := readAccess(cmd, "kafka")
	c := stream.Cluster{Brokers: cmd.StringSlice("kafka"), TLS: a.tls}
	mechanism := cmd.String("kafka-sasl")
	switch {
	case mechanism == "" && a.user != "":
		wrong = settings.Join(wrong, settings.Wrong(cmd, errors.New("--kafka-sasl is needed, too: plain, scram-sha-256 or scram-sha-512"), "kafka-user"))
	case mechanism != "" && a.user == "":
		wrong = settings.Join(wrong, settings.Wrong(cmd, errors.New("--kafka-user is needed, too"), "kafka-sasl"))
	case mechanism != "" && wrong == nil:
		var err error
		c.SASL, err = stream.NewSASL(mechanism, a.user, a.password)
		wrong = settings.Wrong(cmd, err, "kafka-sasl")
	}
	if len(c.Brokers) == 0 && (c.TLS != nil || mechanism != "") {
		wrong = settings.Join(wrong, errors.New("--kafka is needed: TLS and SASL are for a Kafka outside this process"))
	}
	if wrong == nil && c.TLS == nil && c.SASL != nil && c.SASL.Name() == "PLAIN" {
		slog.Warn("the password goes to Kafka for all to read on the way: --kafka-tls encrypts it")
	}
	return c, wrong
}

// givenKafka is the Kafka of a command that has no use for one of its own.
func givenKafka(cmd *cli.Command) (stream.Cluster, error) {
	cluster, err := kafkaCluster(cmd)
	if err == nil && len(cluster.Brokers) == 0 {
		err = settings.Join(errors.New("--kafka is needed: which one?"))
	}
	return cluster, err
}

// reach connects to Kafka once, for commands that do not wait for it, and says what to do if
// that is refused.
func reach(ctx context.Context, cluster stream.Cluster) error {
	err := stream.CheckConnection(ctx, cluster)
	if remedy := stream.Hint(err); remedy != "" {
		err = fmt.Errorf("%w: %s", err, remedy)
	}
	return err
}

// aMechanism is the validator of --kafka-sasl.
func aMechanism(name string) error {
	_, err := stream.NewSASL(name, "user", "password")
	return err
}
