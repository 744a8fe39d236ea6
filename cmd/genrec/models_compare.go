package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/urfave/cli/v3"

	"genrec/pkg/registry"
	"genrec/retrain/compare"
)

func modelsCompareCommand() *cli.Command {
	return modelsSubcommand("compare", "[VERSION…]", "compare the metrics and the online hit rates of versions",
		`Prints, for each version, the metrics of its training and, with --redis, its online
figures: how many users interacted after a list of the version, how often, and how often
with a recommended item, with a 95 % interval. Two versions with interactions on the same
days are tested for a difference. Without arguments, all versions are compared.

Example:   genrec models compare --redis redis:6379 --models /srv/models`,
		func(ctx context.Context, cmd *cli.Command, models *registry.Registry) (err error) {
			var s servers
			defer func() { err = errors.Join(err, s.close()) }()
			var online compare.HitReader
			if cmd.String("redis") != "" {
				if err := s.openStore(ctx, cmd); err != nil {
					return err
				}
				online = s.store
			}
			c, err := compare.Versions(ctx, models, online, cmd.Args().Slice(), compare.LastDays(time.Now(), cmd.Int("days")))
			if err != nil {
				return err
			}
			if cmd.Bool("json") {
				return json.NewEncoder(cmd.Root().Writer).Encode(c)
			}
			return c.Print(cmd.Root().Writer)
		},
		join(redisFlags(), []cli.Flag{&cli.IntFlag{
			Name: "days", Value: 7, Usage: "`DAYS` of online figures, today included, at most 90", Validator: between(1, 90),
		}})...)
}
