package retrain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"genrec/model/catalog"
	"genrec/pkg/registry"
	"genrec/retrain/gate"
)

// Report is the result of a run, stored with the model as metrics.json.
type Report struct {
	// Version is the published version; not in MetricsFile. The next fields describe model and data.
	Version      string `json:"version,omitempty"`
	Device       string `json:"device"`
	Seed         int64  `json:"seed"`
	Recipe       Recipe `json:"recipe"`
	Users        int    `json:"users"`
	Items        int    `json:"items"`
	Interactions int64  `json:"interactions"`
	// ItemText is the text format of ids, if it is not that of the recipe.
	ItemText     catalog.TextFormat `json:"item_text,omitempty"`
	SkippedUsers int64              `json:"skipped_users,omitempty"` // users with an unreadable sequence in Redis
	// Watermark is the time of the newest interaction, if times are known.
	Watermark  time.Time `json:"watermark,omitzero"`
	Parameters int       `json:"parameters"`
	// HeldBack bounds the hashes of the validation's users, whose last two items neither this version
	// nor those it was warm-started from have seen.
	HeldBack float64 `json:"held_back"`
	trainingResult
	LeaveOneOut Metrics      `json:"leave_one_out"`
	Gate        gate.Verdict `json:"gate"`
	// Split is the active split that keeps a version which passed the gate from serving; not in
	// MetricsFile.
	Split           []registry.Share `json:"split,omitempty"`
	EvaluateSeconds float64          `json:"evaluate_seconds"`
	PeakMemoryMB    float64          `json:"peak_memory_mb"` // peak resident host memory of the process
	StartedAt       time.Time        `json:"started_at"`
	FinishedAt      time.Time        `json:"finished_at"`
}

// describe fills in what is known before the training.
func (r *Report) describe(c Config, sequences []catalog.Sequence, start *initialized) {
	items := start.bundle.Catalog
	if c.Snapshot != nil {
		r.SkippedUsers = c.Snapshot.Skipped
	}
	r.Users, r.Items, r.Interactions = len(sequences), items.Items(), items.Interactions()
	r.Watermark, r.HeldBack, r.Parameters = newestInteraction(sequences), start.heldOut.bound, start.bundle.Model.Parameters()
	if text := items.TextFormat(); text != c.Text {
		r.ItemText = text
	}
}

// newestInteraction returns the time of the newest interaction, zero if times are unknown.
func newestInteraction(sequences []catalog.Sequence) (newest time.Time) {
	for _, s := range sequences {
		if s.Newest.After(newest) {
			newest = s.Newest
		}
	}
	return newest
}

// MetricsFile holds the report in a version's folder.
const MetricsFile = "metrics.json"

// ReadReport reads the report of a version. Its Version is empty.
func ReadReport(ctx context.Context, models *registry.Registry, version string) (r Report, err error) {
	text, err := models.ReadFile(ctx, version, MetricsFile)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("decode %s of version %q: %w", MetricsFile, version, err)
	}
	return r, nil
}

// Outcomes of a successful training whose version does not serve.
var (
	// ErrRefused reports that the gate rejected the new version.
	ErrRefused = errors.New("the new version is not served")
	// ErrWaiting reports that the version passed the gate and waits for a split to end.
	ErrWaiting = errors.New("the new version is not served yet")
)

// NotServed returns nil if the version serves, and otherwise ErrRefused or ErrWaiting with the outcome.
func (r Report) NotServed() error {
	switch {
	case r.Serves():
		return nil
	case r.Gate.Promoted:
		return fmt.Errorf("%w: %s", ErrWaiting, r.Outcome())
	}
	return fmt.Errorf("%w: %s", ErrRefused, r.Outcome())
}

// Serves reports whether the version became the current one.
func (r Report) Serves() bool { return r.Gate.Promoted && len(r.Split) == 0 }

// Outcome describes the result for display.
func (r Report) Outcome() string {
	switch {
	case len(r.Split) > 0:
		return fmt.Sprintf("%s passed the gate and waits for the end of the split %s: genrec models promote %s makes it serve; %s",
			r.Version, registry.FormatShares(r.Split), r.Version, r.Gate.Reason)
	case r.Gate.Promoted:
		return fmt.Sprintf("%s is the current version: %s", r.Version, r.Gate.Reason)
	case r.Gate.Baseline == gate.Popularity:
		return fmt.Sprintf("%s was refused: %s", r.Version, r.Gate.Reason)
	}
	return fmt.Sprintf("kept %s, %s was refused: %s", r.Gate.Baseline, r.Version, r.Gate.Reason)
}
