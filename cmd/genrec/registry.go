package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"github.com/urfave/cli/v3"

	"genrec/cmd/genrec/settings"
	"genrec/model"
	"genrec/pkg/bucket"
	"genrec/pkg/registry"
)

// models is what the model flags name.
type models struct {
	registry *registry.Registry
	device   model.Device
	ranker   model.RankerConfig
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

func openRegistry(ctx context.Context, cmd *cli.Command) (*registry.Registry, error) {
	r, err := registry.Connect(ctx, cmd.String("models"), cmd.String("models-cache"))
	return r, settings.Invalid(cmd, err, "models")
}

// errNoModelsFolder says that nothing has been trained yet.
var errNoModelsFolder = errors.New("the folder does not exist yet: genrec retrain creates it")

// existingRegistry is for commands that only read versions: it does not create the folder.
func existingRegistry(ctx context.Context, cmd *cli.Command) (*registry.Registry, error) {
	location := cmd.String("models")
	if _, err := os.Stat(location); errors.Is(err, fs.ErrNotExist) && !strings.HasPrefix(location, bucket.Scheme) {
		return nil, settings.Invalid(cmd, fmt.Errorf("%s: %w", location, errNoModelsFolder), "models")
	}
	return openRegistry(ctx, cmd)
}

func rankerSettings(cmd *cli.Command) (device model.Device, ranker model.RankerConfig, invalid error) {
	ranker = model.DefaultRankerConfig()
	ranker.AllowSeen = cmd.Bool("allow-seen")
	device, invalid = chosenDevice(cmd)
	if name := cmd.String("precision"); name != "" {
		var err error
		ranker.Precision, err = model.ParsePrecision(name)
		invalid = settings.Join(invalid, settings.Invalid(cmd, err, "precision"))
	}
	if invalid == nil && !ranker.Precision.SupportedBy(device) {
		slog.Warn("this CPU has no instructions for the precision, which would be slow: using float32", "precision", ranker.Precision)
		ranker.Precision = model.Float32
	}
	return device, ranker, invalid
}

func chosenDevice(cmd *cli.Command) (model.Device, error) {
	device, err := model.ParseDevice(cmd.String("device"))
	return device, settings.Invalid(cmd, err, "device")
}
