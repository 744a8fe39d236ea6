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

// Report is what a run found, stored beside the model as metrics.json.
type Report struct {
	Version      string `json:"version,omitempty"`
	Device       string `json:"device"`
	Seed         int64  `json:"seed"`
	Recipe       Recipe `json:"recipe"`
	Users        int    `json:"users"`
	Items        int    `json:"items"`
	Interactions int64  `json:"interactions"`
	// ItemText is how the model writes ids, where they cannot be written as the recipe says.
	ItemText     catalog.TextFormat `json:"item_text,omitempty"`
	SkippedUsers int64              `json:"skipped_users,omitempty"` // whose sequence in Redis was unreadable
	// Watermark is the time of the newest interaction, where times are known.
	Watermark  time.Time `json:"watermark,omitzero"`
	Parameters int       `json:"parameters"`
	// HeldBack bounds the lots of the users of the validation, of whom this version and
	// those that it goes back to have not seen the last two items.
	HeldBack float64 `json:"held_back"`
	learned
	LeaveOneOut Metrics      `json:"leave_one_out"`
	Gate        gate.Verdict `json:"gate"`
	// Split is what the users were divided among when the version passed the gate: it does
	// not serve then. Not in MetricsFile.
	Split           []registry.Share `json:"split,omitempty"`
	EvaluateSeconds float64          `json:"evaluate_seconds"`
	PeakMemoryMB    float64          `json:"peak_memory_mb"` // of the process, host memory
	StartedAt       time.Time        `json:"started_at"`
	FinishedAt      time.Time        `json:"finished_at"`
}

// describe fills in what is known before the training.
func (r *Report) describe(c Config, sequences []catalog.Sequence, start initialized) {
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

// ReadReport reads what a run found from the version that it made, whose name is not in it.
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

// A training that ends without an error may still not change what serves.
var (
	// ErrRefused says that the gate refused the new version.
	ErrRefused = errors.New("the new version is not served")
	// ErrWaiting says that the version passed the gate, and that a split of the users among
	// other versions has to end before it is promoted.
	ErrWaiting = errors.New("the new version is not served yet")
)

// NotServed says why the version of the report does not serve: it is ErrRefused or ErrWaiting,
// with the outcome, or nil if the version serves.
func (r Report) NotServed() error {
	switch {
	case r.Serves():
		return nil
	case r.Gate.Promoted:
		return fmt.Errorf("%w: %s", ErrWaiting, r.Outcome())
	}
	return fmt.Errorf("%w: %s", ErrRefused, r.Outcome())
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
