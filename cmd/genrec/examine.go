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
	loaded, near := false, false
	for _, share := range shares {
		tried, err := tryModel(ctx, &versions.Versions{Registry: models, Device: device, Ranker: ranker}, share.Version)
		if err != nil {
			all = append(all, ill(subject, err, "genrec models rollback serves what was served before"))
			continue
		}
		loaded, near = true, near || tried.near
		all = append(all, healthy(subject, "%s serves %d %% of the users, %s", share.Version, share.Percent, tried.text))
	}
	if loaded && cmd.String("redis") != "" {
		all = append(all, examineShared(ctx, cmd, near)...)
	}
	return all
}

// triedModel is what is said of a model that works.
type triedModel struct {
	text string
	near bool // it has similar items
}

// tryModel loads a version, with its checksums compared, and asks it once.
func tryModel(ctx context.Context, all *versions.Versions, version string) (triedModel, error) {
	start := time.Now()
	generator, err := all.Load(ctx, version)
	if err != nil {
		return triedModel{}, err
	}
	loaded := time.Since(start)
	generated, err := generator.Generate(ctx, []inference.Request{{User: "doctor"}})
	if err == nil && len(generated.Lists[0]) == 0 {
		err = fmt.Errorf("model %q recommends nothing", version)
	}
	tried := triedModel{}
	for range generator.Near() {
		tried.near = true
		break
	}
	if err := errors.Join(err, generator.Close()); err != nil {
		return triedModel{}, err
	}
	tried.text = fmt.Sprintf("is whole, loads in %v and recommends %d items", loaded.Round(time.Millisecond), len(generated.Lists[0]))
	return tried, nil
}
