package main

import (
	"github.com/urfave/cli/v3"

	"genrec/cmd/genrec/settings"
	"genrec/model/catalog"
	"genrec/pkg/dataset"
)

func datasetFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "data", Usage: "dataset's `FILE`, one user a line: user item item ..."},
		&cli.StringFlag{Name: "ids", Value: "published", Usage: "published: as in the file; permuted: shuffled by a fixed seed, so that an id tells nothing", Validator: among("published", "permuted")},
	}
}

func readDataset(cmd *cli.Command) ([]catalog.Sequence, error) {
	users, err := dataset.Read(cmd.String("data"))
	if err != nil {
		return nil, settings.Wrong(cmd, err, "data")
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
