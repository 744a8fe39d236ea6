package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/urfave/cli/v3"

	"genrec/retrain"
)

func retrainFlags() []cli.Flag {
	return []cli.Flag{
		&cli.IntFlag{
			Name: "pretrain-epochs", Value: retrain.DefaultPretrainEpochs, Usage: "passes over the users with one random item masked",
			Sources: cli.EnvVars("GENREC_PRETRAIN_EPOCHS"),
		},
		&cli.IntFlag{
			Name: "finetune-epochs", Value: retrain.DefaultFinetuneEpochs, Usage: "passes over the users with the next item asked for",
			Sources: cli.EnvVars("GENREC_FINETUNE_EPOCHS"),
		},
		&cli.IntFlag{
			Name: "evaluate-users", Usage: "at most so many users in the evaluation; 0 is all",
			Sources: cli.EnvVars("GENREC_EVALUATE_USERS"),
		},
		&cli.Int64Flag{
			Name: "seed", Value: 1, Usage: "of everything random: one seed and one snapshot give one model",
			Sources: cli.EnvVars("GENREC_SEED"),
		},
	}
}

func retrainCommand() *cli.Command {
	return &cli.Command{
		Name:  "retrain",
		Usage: "train on all sequences and publish the model, once",
		Description: `Takes a snapshot of all sequences in Redis, pretrains, finetunes, evaluates
leave-one-out with all items as candidates, and makes the new version current.
Inference workers pick it up by themselves. Schedule it nightly.

Example, in a crontab:   0 3 * * *  genrec retrain --redis redis:6379 --models /srv/models`,
		Flags: join(redisFlags(), modelFlags(), retrainFlags(), []cli.Flag{
			&cli.BoolFlag{Name: "json", Usage: "print the report as JSON"},
		}),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if cmd.String("redis") == "" {
				return errors.New("--redis is needed: where are the sequences to train on?")
			}
			m, err := openModels(cmd)
			if err != nil {
				return err
			}
			var s servers
			if err := s.openStore(ctx, cmd, cmd.String("redis")); err != nil {
				return errors.Join(err, s.close())
			}
			report, err := retrainOnce(ctx, cmd, s, m)
			return errors.Join(err, printReport(report, cmd.Bool("json"), err == nil), s.close())
		},
	}
}

func retrainOnce(ctx context.Context, cmd *cli.Command, s servers, m models) (retrain.Report, error) {
	snapshot, err := retrain.Snapshot(ctx, s.store)
	if err != nil {
		return retrain.Report{}, err
	}
	return retrain.Run(ctx, retrainConfig(cmd, m), snapshot, m.registry)
}

func retrainConfig(cmd *cli.Command, m models) retrain.Config {
	c := retrain.DefaultConfig()
	c.Device, c.Ranker, c.Seed = m.device, m.ranker, cmd.Int64("seed")
	c.PretrainEpochs, c.FinetuneEpochs = cmd.Int("pretrain-epochs"), cmd.Int("finetune-epochs")
	c.EvaluateUsers = cmd.Int("evaluate-users")
	c.Progress = newProgress(os.Stderr)
	return c
}

func printReport(r retrain.Report, asJSON, done bool) error {
	if !done {
		return nil
	}
	if asJSON {
		return json.NewEncoder(os.Stdout).Encode(r)
	}
	m := r.LeaveOneOut
	_, err := fmt.Printf(`version %s: %d users, %d items, %d interactions, %d parameters, trained in %.0f s on %s
leave-one-out over %d users, all items ranked:
  HR@1 %.4f  HR@5 %.4f  HR@10 %.4f  NDCG@5 %.4f  NDCG@10 %.4f
`, r.Version, r.Users, r.Items, r.Interactions, r.Parameters, r.TrainSeconds, r.Device,
		m.Users, m.HR1, m.HR5, m.HR10, m.NDCG5, m.NDCG10)
	return err
}
