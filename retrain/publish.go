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
	"genrec/pkg/registry"
)

// published is what an attempt of the same run has published, which ended before it was
// promoted; without a version, if there is none.
func (r *run) published(ctx context.Context) (report Report, err error) {
	if !r.work.resumed {
		return report, nil
	}
	version, err := r.models.FindRun(ctx, r.work.run)
	if err == nil && version != "" {
		if report, err = ReadReport(ctx, r.models, version); err == nil {
			report.Version = version
			return report, r.config.checkErasures(ctx, r.sequences, r.config.takenAt())
		}
	}
	if err != nil && ctx.Err() == nil {
		r.config.Logger.WarnContext(ctx, "the run may publish a version for the second time, since the versions cannot be read", "err", err)
		err = nil
	}
	return Report{}, err
}

// promote makes the version the current one, or says why not. A split goes on: whoever began
// it wants to know how it ends.
func (r *run) promote(ctx context.Context, report *Report) error {
	if report.Gate.Promoted {
		err := r.models.Promote(ctx, report.Version)
		if errors.Is(err, registry.ErrSplit) {
			report.Split, err = r.models.Serving(ctx)
		}
		if err != nil {
			return err
		}
	}
	level := slog.LevelInfo
	if !report.Serves() {
		level = slog.LevelWarn
	}
	r.config.Logger.Log(ctx, level, report.Outcome())
	return nil
}

// publish puts the model among the versions.
func (r *run) publish(ctx context.Context, bundle model.Bundle, report Report) (version string, err error) {
	draft, err := r.models.Draft()
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
	if err := r.work.copyCurves(draft.Dir); err != nil {
		return "", err
	}
	options := []registry.PublishOption{registry.Parent(r.before.name()), registry.Run(r.work.run)}
	if !report.Gate.Promoted {
		options = append(options, registry.Refused(report.Gate.Reason))
	}
	return draft.Publish(ctx, options...)
}
