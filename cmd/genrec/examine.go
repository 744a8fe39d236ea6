package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v3"

	"genrec/inference"
	"genrec/inference/versions"
	"genrec/pkg/registry"
)

func examineModels(ctx context.Context, cmd *cli.Command) (all []finding) {
	const subject = "model"
	device, ranker, err := rankerSettings(cmd)
	if err != nil {
		return []finding{ill(subject, err, "")}
	}
	models, err := existingRegistry(ctx, cmd)
	none := healthy(subject, "none in %s yet: genrec retrain makes the first one", shown("models", cmd.String("models")))
	if errors.Is(err, errNoFolder) {
		return []finding{none}
	}
	if err != nil {
		return []finding{ill(subject, err, "")}
	}
	shares, err := models.Serving(ctx)
	if errors.Is(err, registry.ErrNoVersion) {
		return []finding{none}
	}
	if err != nil {
		return []finding{ill(subject, err, "genrec models promote VERSION chooses one that serves")}
	}
	for _, share := range shares {
		text, err := tryModel(ctx, &versions.Versions{Registry: models, Device: device, Ranker: ranker}, share.Version)
		if err != nil {
			all = append(all, ill(subject, err, "genrec models rollback serves what was served before"))
			continue
		}
		all = append(all, healthy(subject, "%s serves %d %% of the users, %s", share.Version, share.Percent, text))
	}
	return all
}

// tryModel loads a version, with its checksums compared, and asks it once.
func tryModel(ctx context.Context, all *versions.Versions, version string) (string, error) {
	start := time.Now()
	generator, err := all.Load(ctx, version)
	if err != nil {
		return "", err
	}
	loaded := time.Since(start)
	generated, err := generator.Generate(ctx, []inference.Request{{User: "doctor"}})
	if err == nil && len(generated.Lists[0]) == 0 {
		err = fmt.Errorf("model %q recommends nothing", version)
	}
	if err := errors.Join(err, generator.Close()); err != nil {
		return "", err
	}
	return fmt.Sprintf("is whole, loads in %v and recommends %d items", loaded.Round(time.Millisecond), len(generated.Lists[0])), nil
}
