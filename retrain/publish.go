package retrain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"genrec/model"
	"genrec/pkg/registry"
	"genrec/retrain/gate"
)

// publish stores the model as a version, and makes it the current one or says why not.
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
	options := []registry.PublishOption{registry.Parent(r.before.name())}
	if !report.Gate.Promoted {
		options = append(options, registry.Refused(report.Gate.Reason))
	}
	if version, err = draft.Publish(ctx, options...); err != nil {
		return "", err
	}
	report.Version = version
	if !report.Gate.Promoted {
		r.config.Logger.WarnContext(ctx, report.Outcome())
		return version, nil
	}
	r.config.Logger.InfoContext(ctx, report.Outcome())
	return version, r.models.SetCurrent(ctx, version)
}

// Outcome says in words what became of the version.
func (r Report) Outcome() string {
	switch {
	case r.Gate.Promoted:
		return fmt.Sprintf("%s is the current version: %s", r.Version, r.Gate.Reason)
	case r.Gate.Rival == gate.Popularity:
		return fmt.Sprintf("%s was refused: %s", r.Version, r.Gate.Reason)
	}
	return fmt.Sprintf("kept %s, %s was refused: %s", r.Gate.Rival, r.Version, r.Gate.Reason)
}
