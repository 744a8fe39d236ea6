package retrain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"genrec/model"
	"genrec/model/catalog"
	"genrec/pkg/registry"
)

// findPublished returns the report of the version that an earlier attempt of this run published before
// it ended; without such a version, the report's Version is empty.
func findPublished(ctx context.Context, c Config, sequences []catalog.Sequence, models *registry.Registry, work *workspace) (report Report, err error) {
	if !work.resumed {
		return report, nil
	}
	version, err := models.FindRun(ctx, work.run)
	if err == nil && version != "" {
		if report, err = ReadReport(ctx, models, version); err == nil {
			report.Version = version
			return report, c.checkErasures(ctx, sequences, c.snapshotTime())
		}
	}
	if err != nil && ctx.Err() == nil {
		c.Logger.WarnContext(ctx, "cannot read the versions: this run may publish a second one", "err", err)
		err = nil
	}
	return Report{}, err
}

// publish adds the model to the versions.
func publish(ctx context.Context, models *registry.Registry, work *workspace, bundle model.Bundle, report Report, previous *previousVersion) (version string, err error) {
	draft, err := models.Draft()
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, draft.Discard()) }()
	if err := bundle.Save(draft.Dir); err != nil {
		return "", fmt.Errorf("save the model: %w", err)
	}
	data, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return "", fmt.Errorf("encode metrics: %w", err)
	}
	if err := os.WriteFile(filepath.Join(draft.Dir, MetricsFile), append(data, '\n'), 0o644); err != nil {
		return "", fmt.Errorf("write metrics: %w", err)
	}
	if err := work.copyCurves(draft.Dir); err != nil {
		return "", err
	}
	options := []registry.PublishOption{registry.Parent(previous.name()), registry.Run(work.run)}
	if !report.Gate.Promoted {
		options = append(options, registry.Refused(report.Gate.Reason))
	}
	return draft.Publish(ctx, options...)
}

// promote makes the report's version the current one if it passed the gate and no split is active, and
// logs the outcome.
func promote(ctx context.Context, logger *slog.Logger, models *registry.Registry, report Report) (Report, error) {
	if report.Gate.Promoted {
		err := models.Promote(ctx, report.Version)
		if errors.Is(err, registry.ErrSplit) {
			report.Split, err = models.Serving(ctx)
		}
		if err != nil {
			return report, err
		}
	}
	level := slog.LevelInfo
	if !report.Serves() {
		level = slog.LevelWarn
	}
	logger.Log(ctx, level, report.Outcome())
	return report, nil
}
