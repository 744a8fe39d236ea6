package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v3"

	"genrec/cmd/genrec/settings"
	"genrec/model"
	"genrec/pkg/bucket"
	"genrec/pkg/registry"
	"genrec/retrain"
)

func evalCommand() *cli.Command {
	return &cli.Command{
		Name:  "eval",
		Usage: "measure a model on a dataset, leave-one-out",
		Description: `Asks the model for the last item of each user, given the others, with all items
as candidates and a beam of 20, and prints hit ratio and NDCG. The model must not
have seen the last items: "genrec retrain" never shows them to it.

Examples:  genrec eval --data Beauty.txt --ids permuted --model /tmp/beauty
           genrec eval --data Beauty.txt --model /tmp/beauty --dense-weight 1 \
               --sequential-weight 0 --association-weight 0`,
		Flags: join(datasetFlags(), rankerFlags(), precisionFlag(), []cli.Flag{
			&cli.StringFlag{Name: "model", Usage: "`FOLDER` of a version, or the models' folder or s3://bucket/prefix, of which the current one is taken"},
			modelsCacheFlag(),
			&cli.IntFlag{Name: "evaluate-users", Usage: "at most so many users, drawn by the seed; 0 is all", Validator: atLeast(0)},
			&cli.Int64Flag{Name: "seed", Value: 1, Usage: "of the draw"},
			&cli.FloatFlag{Name: "dense-weight", DefaultText: "the model's", Usage: "of the dense head, from 0 to 1; what the weights leave of 1 is the beam search's", Validator: between(0., 1)},
			&cli.FloatFlag{Name: "sequential-weight", DefaultText: "the model's", Usage: "of the rules that count what came after an item, likewise", Validator: between(0., 1)},
			&cli.FloatFlag{Name: "association-weight", DefaultText: "the model's", Usage: "of the rules that count what stood near an item, likewise", Validator: between(0., 1)},
			jsonFlag(),
		}),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if err := settings.Join(
				needed(cmd, "data", "which dataset is the model to be measured on?"),
				needed(cmd, "model", "which one is to be measured?"),
			); err != nil {
				return err
			}
			metrics, err := evaluateModel(ctx, cmd)
			if err != nil {
				return err
			}
			if cmd.Bool("json") {
				return json.NewEncoder(cmd.Root().Writer).Encode(metrics)
			}
			return printMetrics(cmd.Root().Writer, metrics)
		},
	}
}

func evaluateModel(ctx context.Context, cmd *cli.Command) (m retrain.Metrics, err error) {
	sequences, dataErr := readDataset(cmd)
	device, ranker, err := rankerSettings(cmd)
	if err := settings.Join(dataErr, err); err != nil {
		return m, err
	}
	for flag, weight := range map[string]**float64{
		"dense-weight": &ranker.DenseWeight, "sequential-weight": &ranker.SequentialWeight, "association-weight": &ranker.AssociationWeight,
	} {
		if cmd.IsSet(flag) {
			value := cmd.Float(flag)
			*weight = &value
		}
	}
	folder, err := versionFolder(ctx, cmd.String("model"), cmd.String("models-cache"))
	if err != nil {
		return m, settings.Wrong(cmd, err, "model")
	}
	return retrain.EvaluateStored(ctx, folder, device, ranker, sequences, cmd.Int("evaluate-users"), cmd.Int64("seed"), newProgress(os.Stderr))
}

// versionFolder accepts a version's folder, or a folder or a bucket of versions.
func versionFolder(ctx context.Context, folder, cache string) (string, error) {
	if _, err := os.Stat(filepath.Join(folder, model.ConfigFile)); err == nil {
		return folder, nil
	}
	if _, err := os.Stat(folder); err != nil && !strings.HasPrefix(folder, bucket.Scheme) {
		return "", err
	}
	models, err := registry.Connect(ctx, folder, cache)
	if err != nil {
		return "", err
	}
	version, err := models.Current(ctx)
	if err != nil {
		return "", err
	}
	return models.Fetch(ctx, version)
}

func printMetrics(out io.Writer, m retrain.Metrics) error {
	_, err := fmt.Fprintf(out, `leave-one-out over %d users, all items ranked:
   HR@1    HR@5   NDCG@5   HR@10  NDCG@10
 %6.4f  %6.4f   %6.4f  %6.4f   %6.4f
accuracy hr1=%.4[2]f hr5=%.4[3]f ndcg5=%.4[4]f hr10=%.4[5]f ndcg10=%.4[6]f
`, m.Users, m.HR1, m.HR5, m.NDCG5, m.HR10, m.NDCG10)
	return err
}
