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
	"genrec/model/catalog"
	"genrec/pkg/bucket"
	"genrec/pkg/dataset"
	"genrec/pkg/registry"
	"genrec/retrain"
)

func evalCommand() *cli.Command {
	return &cli.Command{
		Name:  "eval",
		Usage: "evaluate a model on a dataset, leave-one-out",
		Description: `Predicts the last item of each user from the items before it, with all items as
candidates of the beam search, and prints hit rate (HR) and NDCG. The model must not
have been trained on the last items; "genrec retrain" never trains on them.

Examples:  genrec eval --data Beauty.txt --ids permuted --model /tmp/beauty
           genrec eval --data Beauty.txt --model /tmp/beauty \
               --sequential-weight 0 --association-weight 0`,
		Flags: join(datasetFlags(), rankerFlags(), precisionFlag(), []cli.Flag{
			&cli.StringFlag{Name: "model", Usage: "`FOLDER` of a version; or the models' folder or s3://bucket/prefix, for the current version"},
			modelsCacheFlag(),
			&cli.IntFlag{Name: "evaluate-users", Usage: "maximum `NUMBER` of users, a random sample; 0: all", Validator: atLeast(0)},
			&cli.Int64Flag{Name: "seed", Value: 1, Usage: "random `SEED` of the sample"},
			&cli.IntFlag{Name: "beams", Value: model.Beams, Usage: "`NUMBER` of beams of the search; with as many as it has paths, it ranks all items", Validator: atLeast(1)},
			&cli.FloatFlag{Name: "dense-weight", DefaultText: "the model's", Usage: "ensemble `WEIGHT` of the dense head, from 0 to 1, of models that have one; the beam search has the rest of the sum of 1", Validator: between(0., 1)},
			&cli.FloatFlag{Name: "sequential-weight", DefaultText: "the model's", Usage: "ensemble `WEIGHT` of the sequential rules (items that followed an item), from 0 to 1", Validator: between(0., 1)},
			&cli.FloatFlag{Name: "association-weight", DefaultText: "the model's", Usage: "ensemble `WEIGHT` of the association rules (items that co-occurred with an item), from 0 to 1", Validator: between(0., 1)},
			jsonFlag(),
		}),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if err := settings.Join(
				required(cmd, "data", "the dataset to evaluate the model on"),
				required(cmd, "model", "the model to evaluate"),
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
	ranker.Beams = cmd.Int("beams")
	folder, err := versionFolder(ctx, cmd.String("model"), cmd.String("models-cache"))
	if err != nil {
		return m, settings.Invalid(cmd, err, "model")
	}
	return retrain.EvaluateStored(ctx, folder, device, ranker, sequences, cmd.Int("evaluate-users"), cmd.Int64("seed"), newProgress(os.Stderr))
}

// versionFolder returns the folder of a version or, given a registry, of its current version.
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

func datasetFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "data", Usage: "dataset `FILE` with one user per line: user item item ..., oldest item first"},
		&cli.StringFlag{Name: "ids", Value: "published", Usage: "item `IDS`: published (as in the file) or permuted (shuffled with a fixed seed, so that ids carry no information)", Validator: oneOf("published", "permuted")},
	}
}

func readDataset(cmd *cli.Command) ([]catalog.Sequence, error) {
	users, err := dataset.Read(cmd.String("data"))
	if err != nil {
		return nil, settings.Invalid(cmd, err, "data")
	}
	if cmd.String("ids") == "permuted" {
		users = dataset.Permute(users)
	}
	sequences := make([]catalog.Sequence, len(users))
	for i, u := range users {
		sequences[i] = catalog.Sequence{User: u.ID, Items: u.Items}
	}
	return sequences, nil
}
