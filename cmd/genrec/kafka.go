package main

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/urfave/cli/v3"

	"genrec/pkg/stream"
)

// kafkaCluster is what the flags name, without brokers if there is no --kafka.
func kafkaCluster(cmd *cli.Command) (stream.Cluster, error) {
	a, err := readAccess(cmd, "kafka")
	if err != nil {
		return stream.Cluster{}, err
	}
	c := stream.Cluster{Brokers: cmd.StringSlice("kafka"), TLS: a.tls}
	switch mechanism := cmd.String("kafka-sasl"); {
	case mechanism == "" && a.user != "":
		return c, errors.New("--kafka-user needs --kafka-sasl: plain, scram-sha-256 or scram-sha-512")
	case mechanism != "" && a.user == "":
		return c, errors.New("--kafka-sasl needs --kafka-user")
	case mechanism != "":
		if c.SASL, err = stream.NewSASL(mechanism, a.user, a.password); err != nil {
			return c, fmt.Errorf("--kafka-sasl: %w", err)
		}
		if c.TLS == nil && c.SASL.Name() == "PLAIN" {
			slog.Warn("the password goes to Kafka for all to read on the way: --kafka-tls encrypts it")
		}
	}
	if len(c.Brokers) == 0 && (c.TLS != nil || c.SASL != nil) {
		return c, errors.New("--kafka is needed: TLS and SASL are for a Kafka outside this process")
	}
	return c, nil
}
