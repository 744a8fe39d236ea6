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

// kafkaCluster returns the cluster that the flags name; it has no brokers without --kafka.
func kafkaCluster(cmd *cli.Command) (stream.Cluster, error) {
	credentials, invalid := readCredentials(cmd, "kafka")
	c := stream.Cluster{Brokers: cmd.StringSlice("kafka"), TLS: credentials.tls}
	mechanism := cmd.String("kafka-sasl")
	switch {
	case mechanism == "" && credentials.user != "":
		invalid = settings.Join(invalid, settings.Invalid(cmd, errors.New("--kafka-sasl is required, too: plain, scram-sha-256 or scram-sha-512"), "kafka-user"))
	case mechanism != "" && credentials.user == "":
		invalid = settings.Join(invalid, settings.Invalid(cmd, errors.New("--kafka-user is required, too"), "kafka-sasl"))
	case mechanism != "" && invalid == nil:
		var err error
		c.SASL, err = stream.NewSASL(mechanism, credentials.user, credentials.password)
		invalid = settings.Invalid(cmd, err, "kafka-sasl")
	}
	if len(c.Brokers) == 0 && (c.TLS != nil || mechanism != "") {
		invalid = settings.Join(invalid, errors.New("--kafka is required: the embedded Kafka has neither TLS nor SASL"))
	}
	if invalid == nil && c.TLS == nil && c.SASL != nil && c.SASL.Name() == "PLAIN" {
		slog.Warn("the Kafka password is sent unencrypted: use --kafka-tls")
	}
	return c, invalid
}

// requiredKafka is for commands that cannot use an embedded Kafka.
func requiredKafka(cmd *cli.Command) (stream.Cluster, error) {
	cluster, err := kafkaCluster(cmd)
	if err == nil && len(cluster.Brokers) == 0 {
		err = settings.Join(errors.New("--kafka is required: the brokers of the cluster"))
	}
	return cluster, err
}

// reachableKafka is for commands that do not wait until Kafka can be reached.
func reachableKafka(ctx context.Context, cmd *cli.Command) (stream.Cluster, error) {
	cluster, err := requiredKafka(cmd)
	if err == nil {
		err = checkConnection(ctx, cluster)
	}
	return cluster, err
}

// checkConnection connects to Kafka once. Its error says what to do.
func checkConnection(ctx context.Context, cluster stream.Cluster) error {
	err := stream.CheckConnection(ctx, cluster)
	if hint := stream.Hint(err); hint != "" {
		err = fmt.Errorf("%w: %s", err, hint)
	}
	return err
}

// saslMechanism is the validator of --kafka-sasl.
func saslMechanism(name string) error {
	_, err := stream.NewSASL(name, "user", "password")
	return err
}
