package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/urfave/cli/v3"

	"genrec/cmd/genrec/settings"
	"genrec/inference"
	"genrec/model"
	"genrec/sessions"
)

// The functions in this file define the flags that several commands share. A flag has the same
// meaning, type and default in all commands.

func join(groups ...[]cli.Flag) []cli.Flag { return slices.Concat(groups...) }

// required returns an error with the purpose of a flag that is not set.
func required(cmd *cli.Command, flag, purpose string) error {
	if cmd.String(flag) != "" {
		return nil
	}
	return fmt.Errorf("--%s is required: %s", flag, purpose)
}

// kafkaFlags are for services, which create missing topics.
func kafkaFlags() []cli.Flag {
	return join(clusterFlags(), []cli.Flag{
		&cli.IntFlag{Name: "partitions", Value: 4, Usage: "`NUMBER` of partitions of topics that genrec creates", Validator: atLeast(1)},
	})
}

func clusterFlags() []cli.Flag {
	return join([]cli.Flag{
		&cli.StringSliceFlag{Name: "kafka", Config: cli.StringConfig{TrimSpace: true}, Usage: "`HOST:PORT` of Kafka brokers, separated by commas; services start an embedded Kafka without it", Validator: hostPorts},
	}, credentialFlags("kafka"), []cli.Flag{
		&cli.StringFlag{Name: "kafka-sasl", Usage: "SASL `MECHANISM`: plain, scram-sha-256 or scram-sha-512", Validator: optional(saslMechanism)},
	})
}

func redisFlags() []cli.Flag {
	return join(redisAddressFlags(), []cli.Flag{
		&cli.IntFlag{Name: "window", Value: sessions.DefaultWindow, Usage: "`NUMBER` of events kept per user, the newest ones", Validator: between(1, sessions.MaxWindow)},
		&cli.DurationFlag{Name: "sequence-ttl", Value: sessions.DefaultSequenceTTL, Usage: "`TIME` after which the sequence of a user without new events expires; 0: never", Validator: atLeast[time.Duration](0)},
		&cli.DurationFlag{Name: "ttl", Value: sessions.DefaultRecommendationsTTL, Usage: "`TIME` after which recommendations that are not regenerated expire; 0: never", Validator: atLeast[time.Duration](0)},
	}, credentialFlags("redis"))
}

func redisAddressFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "redis", Usage: "`HOST:PORT` of a Redis server or of nodes of a Redis Cluster, separated by commas, or a redis:// or rediss:// URL; services start an embedded Redis without it", Validator: optional(parsable(redisOptions))},
		&cli.StringFlag{Name: "prefix", Value: sessions.DefaultPrefix, Usage: "`PREFIX` of all Redis keys"},
	}
}

func modelFlags() []cli.Flag {
	return join(registryFlags(), rankerFlags())
}

func registryFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "models", Value: "models", Usage: "`FOLDER` of the model versions, or s3://bucket/prefix; add ?endpoint=http://host:9000 for an object store other than Amazon S3"},
		modelsCacheFlag(),
	}
}

func modelsCacheFlag() cli.Flag {
	return &cli.StringFlag{
		Name: "models-cache", DefaultText: "the user's cache folder", Usage: "local `FOLDER` for downloaded versions and for checkpoints, if the models are in a bucket",
	}
}

func historyFlag() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "history", Usage: "`FOLDER` of all events, written by ingest and read by retrain; without it, only the newest events, in Redis, are kept"},
	}
}

func rankerFlags() []cli.Flag {
	return []cli.Flag{
		deviceFlag(),
		&cli.BoolFlag{Name: "allow-seen", Usage: "also recommend items that the user has interacted with"},
	}
}

func deviceFlag() cli.Flag {
	return &cli.StringFlag{Name: "device", Value: "auto", Usage: "`DEVICE` for the model: cpu, cuda, or auto (the GPU if there is one)", Validator: oneOf("auto", "cpu", "cuda")}
}

func precisionFlag() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "precision", Value: model.Float32.String(), Usage: "`TYPE` of numbers for inference: float32 or bfloat16, which doubles the speed of wide models on CPUs that support it", Validator: parsable(model.ParsePrecision)},
	}
}

func inferenceFlags() []cli.Flag {
	return join(precisionFlag(), []cli.Flag{
		&cli.DurationFlag{
			Name: "latency-target", Value: inference.DefaultLatencyTarget,
			Usage:     "`TIME` within which a user should get new recommendations, if the device can; larger values allow larger batches, and thus more users per second",
			Validator: positive[time.Duration],
		},
		&cli.IntFlag{
			Name: "refresh-rate", Value: inference.DefaultRefreshRate,
			Usage:     "`USERS` per second whose recommendations are refreshed in the background after a model change, behind users with new events; 0: none",
			Validator: atLeast(0),
		},
	})
}

// userFlag is given once for each user, because ids may contain commas.
func userFlag() cli.Flag {
	return &settings.LinesFlag{Name: "user", Usage: "`ID` of a user; can be repeated"}
}
