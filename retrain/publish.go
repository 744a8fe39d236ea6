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
	"genrec/retrain/gate"
)

// publish stores the model as a version, and makes it the current one or says why not. A split
// goes on: whoever began it wants to know how it ends.
func (r *run) publish(ctx context.Context, bundle model.Bundle, report *Report) error {
	var err error
	if report.Version, err = r.store(ctx, bundle, *report); err != nil {
		return err
	}
	if report.Gate.Promoted {
		err = r.models.SetCurrent(ctx, report.Version)
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

// store puts the model among the versions.
func (r *run) store(ctx context.Context, bundle model.Bundle, report Report) (version string, err error) {
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
	options := []registry.PublishOption{registry.Parent(r.before.name())}
	if !report.Gate.Promoted {
		options = append(options, registry.Refused(report.Gate.Reason))
	}
	return draft.Publish(ctx, options...)
}

// Serves says whether the version is the current one.
func (r Report) Serves() bool { return r.Gate.Promoted && len(r.Split) == 0 }

// Outcome says in words what became of the version.
func (r Report) Outcome() string {
	switch {
	case len(r.Split) > 0:
		return fmt.Sprintf("%s passed the gate and waits, because the users are divided among %s: genrec models promote %s makes it serve; %s",
			r.Version, registry.FormatShares(r.Split), r.Version, r.Gate.Reason)
	case r.Gate.Promoted:
		return fmt.Sprintf("%s is the current version: %s", r.Version, r.Gate.Reason)
	case r.Gate.Rival == gate.Popularity:
		return fmt.Sprintf("%s was refused: %s", r.Version, r.Gate.Reason)
	}
	return fmt.Sprintf("kept %s, %s was refused: %s", r.Gate.Rival, r.Version, r.Gate.Reason)
}
