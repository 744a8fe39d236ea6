package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v3"

	"genrec/cmd/genrec/doctor"
	"genrec/cmd/genrec/settings"
)

func doctorCommand(given *settings.Settings) *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "check everything that genrec needs, and say how to fix what is wrong",
		Description: `Checks the settings, libtorch and the GPU of this machine, and whichever of these
are named: Kafka with its topics and permissions, Redis, the models and the history. In
Redis it writes what the services write, under keys of users that cannot exist, and
deletes it again; it changes nothing else. Each problem is followed by what to do. The
exit code is 1 if there are problems. What this user has no permission to inspect is
reported as "unchecked".

Example:   genrec doctor --kafka kafka:9092 --redis redis:6379 --models /srv/models`,
		Flags: join(clusterFlags(), redisFlags(), historyFlag(), modelFlags(), precisionFlag(), []cli.Flag{jsonFlag()}),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			findings := doctor.Run(ctx, doctorChecks(cmd, given)...)
			out, printed := cmd.Root().Writer, error(nil)
			if cmd.Bool("json") {
				printed = encodeLines(out, findings)
			} else {
				printed = doctor.Print(out, findings)
			}
			if n := doctor.Failures(findings); n > 0 && printed == nil {
				return fmt.Errorf("%d of %d checks failed", n, len(findings))
			}
			return printed
		},
	}
}

// doctorChecks are the checks of what the flags name.
func doctorChecks(cmd *cli.Command, given *settings.Settings) []doctor.Check {
	checks := []doctor.Check{doctor.Settings(given.Problems())}
	device, ranker, rankerErr := rankerSettings(cmd)
	if rankerErr != nil {
		checks = append(checks, doctor.Invalid(doctor.LibtorchSubject, rankerErr, doctor.LibtorchHint))
	} else {
		checks = append(checks, doctor.Libtorch(device, ranker.Precision))
	}
	checks = append(checks, doctor.GPU(cmd.String("device")))

	cluster, err := kafkaCluster(cmd)
	switch {
	case len(cmd.StringSlice("kafka")) == 0:
		checks = append(checks, doctor.Skip("Kafka", "no --kafka"))
	case err != nil:
		checks = append(checks, doctor.Invalid("Kafka", err, ""))
	default:
		checks = append(checks, doctor.Kafka{Cluster: cluster, History: cmd.String("history") != ""}.Check)
	}

	var redis *doctor.Redis
	options, err := redisConfig(cmd, cmd.String("redis"))
	switch {
	case cmd.String("redis") == "":
		checks = append(checks, doctor.Skip("Redis", "no --redis"))
	case err != nil:
		checks = append(checks, doctor.Invalid("Redis", err, ""))
	default:
		redis = &doctor.Redis{Options: options, Store: storeOptions(cmd)}
		checks = append(checks, redis.Check)
	}

	if folder := cmd.String("history"); folder != "" {
		checks = append(checks, doctor.History(folder))
	} else {
		checks = append(checks, doctor.Skip("history", "no --history"))
	}

	return append(checks, func(ctx context.Context) []doctor.Finding {
		models, err := existingRegistry(ctx, cmd)
		if errors.Is(err, errNoModelsFolder) {
			models, err = nil, nil
		}
		if err = errors.Join(rankerErr, err); err != nil {
			return doctor.Invalid(doctor.ModelSubject, err, "")(ctx)
		}
		return doctor.Models{
			Registry: models, Location: fmt.Sprint(shown("models", cmd.String("models"))), Device: device, Ranker: ranker, Redis: redis,
		}.Check(ctx)
	})
}
