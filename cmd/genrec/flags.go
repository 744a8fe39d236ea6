package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"genrec/cmd/genrec/settings"
	"genrec/inference"
	"genrec/model"
	"genrec/pkg/bucket"
	"genrec/pkg/registry"
	"genrec/sessions"
)

// kafkaFlags are those of services, which create topics that are missing.
func kafkaFlags() []cli.Flag {
	return join(clusterFlags(), []cli.Flag{
		&cli.IntFlag{Name: "partitions", Value: 4, Usage: "partitions of topics that have to be created", Validator: atLeast(1)},
	})
}

func clusterFlags() []cli.Flag {
	return join([]cli.Flag{
		&cli.StringSliceFlag{Name: "kafka", Config: cli.StringConfig{TrimSpace: true}, Usage: "`HOST:PORT` of Kafka brokers; without it, services have a Kafka inside the process", Validator: addresses},
	}, accessFlags("kafka"), []cli.Flag{
		&cli.StringFlag{Name: "kafka-sasl", Usage: "`MECHANISM` to log in by: plain, scram-sha-256 or scram-sha-512", Validator: optional(aMechanism)},
	})
}

func redisFlags() []cli.Flag {
	return join(redisAddressFlags(), []cli.Flag{
		&cli.IntFlag{Name: "window", Value: sessions.DefaultWindow, Usage: "newest interactions kept per user", Validator: between(1, sessions.MaxWindow)},
		&cli.DurationFlag{Name: "sequence-ttl", Value: sessions.DefaultSequenceTTL, Usage: "after which a user without new events is dropped, who then counts as a new one; 0 is never", Validator: atLeast[time.Duration](0)},
		&cli.DurationFlag{Name: "ttl", Value: sessions.DefaultRecommendationsTTL, Usage: "after which recommendations that were not renewed expire; 0 is never", Validator: atLeast[time.Duration](0)},
	}, accessFlags("redis"))
}

func redisAddressFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "redis", Usage: "`HOST:PORT` of a Redis or of any node of a Redis Cluster, several of its nodes, or a redis:// or rediss:// URL; without it, services have a Redis inside the process", Validator: optional(parsable(redisOptions))},
		&cli.StringFlag{Name: "prefix", Value: sessions.DefaultPrefix, Usage: "of all keys in Redis"},
	}
}

func modelFlags() []cli.Flag {
	return join(registryFlags(), rankerFlags())
}

func registryFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "models", Value: "models", Usage: "`FOLDER` of the model versions, or s3://bucket/prefix, with ?endpoint=http://host:9000 where it is not Amazon's"},
		modelsCacheFlag(),
	}
}

func modelsCacheFlag() cli.Flag {
	return &cli.StringFlag{
		Name: "models-cache", DefaultText: "one of the user's", Usage: "`FOLDER` for what is read of a bucket, and for a training's work",
	}
}

func historyFlag() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "history", Usage: "`FOLDER` of all interactions, which ingest fills and retrain reads; without it, the newest ones in Redis are all there is"},
	}
}

func rankerFlags() []cli.Flag {
	return []cli.Flag{
		deviceFlag(),
		&cli.BoolFlag{Name: "allow-seen", Usage: "recommend items that the user already has"},
	}
}

func deviceFlag() cli.Flag {
	return &cli.StringFlag{Name: "device", Value: "auto", Usage: "cpu, cuda, or auto: the GPU where there is one", Validator: among("auto", "cpu", "cuda")}
}

func precisionFlag() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "precision", Value: model.Float32.String(), Usage: "that a model is asked in: float32, or bfloat16, for wide models twice as fast on a CPU that has it", Validator: parsable(model.ParsePrecision)},
	}
}

func inferenceFlags() []cli.Flag {
	return join(precisionFlag(), []cli.Flag{
		&cli.DurationFlag{
			Name: "latency-target", Value: inference.DefaultLatencyTarget,
			Usage:     "how long a user should wait for recommendations, up to what the device can do; longer does more users a second",
			Validator: positive[time.Duration],
		},
		&cli.IntFlag{
			Name: "refresh-rate", Value: inference.DefaultRefreshRate,
			Usage:     "`USERS` a second whose recommendations are renewed after a change of models, behind those who do something; 0 is none",
			Validator: atLeast(0),
		},
	})
}

func join(groups ...[]cli.Flag) []cli.Flag { return slices.Concat(groups...) }

// models is what the model flags name.
type models struct {
	registry *registry.Registry
	device   model.Device
	ranker   model.RankerConfig
}

func openRegistry(ctx context.Context, cmd *cli.Command) (*registry.Registry, error) {
	r, err := registry.Connect(ctx, cmd.String("models"), cmd.String("models-cache"))
	return r, settings.Wrong(cmd, err, "models")
}

// errNoFolder is of models that nobody has trained yet.
var errNoFolder = errors.New("genrec retrain makes the folder, which is not there yet")

// existingRegistry is for commands that look at versions, and make no folder for them.
func existingRegistry(ctx context.Context, cmd *cli.Command) (*registry.Registry, error) {
	location := cmd.String("models")
	if _, err := os.Stat(location); errors.Is(err, fs.ErrNotExist) && !strings.HasPrefix(location, bucket.Scheme) {
		return nil, settings.Wrong(cmd, fmt.Errorf("%s: %w", location, errNoFolder), "models")
	}
	return openRegistry(ctx, cmd)
}

// needed says what a flag is needed for, if it is not given.
func needed(cmd *cli.Command, flag, what string) error {
	if cmd.String(flag) != "" {
		return nil
	}
	return fmt.Errorf("--%s is needed: %s", flag, what)
}

func openModels(ctx context.Context, cmd *cli.Command) (models, error) {
	device, ranker, err := rankerSettings(cmd)
	if err != nil {
		return models{}, err
	}
	r, err := openRegistry(ctx, cmd)
	if err != nil {
		return models{}, err
	}
	return models{registry: r, device: device, ranker: ranker}, nil
}

func rankerSettings(cmd *cli.Command) (device model.Device, ranker model.RankerConfig, wrong error) {
	ranker = model.DefaultRankerConfig()
	ranker.AllowSeen = cmd.Bool("allow-seen")
	device, err := chosenDevice(cmd)
	wrong = err
	if name := cmd.String("precision"); name != "" {
		ranker.Precision, err = model.ParsePrecision(name)
		wrong = settings.Join(wrong, settings.Wrong(cmd, err, "precision"))
	}
	if wrong == nil && !ranker.Precision.SupportedBy(device) {
		slog.Warn("this CPU has no instructions for the precision and would be slow: taking float32", "precision", ranker.Precision)
		ranker.Precision = model.Float32
	}
	return device, ranker, wrong
}

func chosenDevice(cmd *cli.Command) (model.Device, error) {
	device, err := model.ParseDevice(cmd.String("device"))
	return device, settings.Wrong(cmd, err, "device")
}
