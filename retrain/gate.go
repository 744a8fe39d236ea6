package retrain

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"genrec/model"
	"genrec/model/catalog"
	"genrec/pkg/registry"
	"genrec/retrain/gate"
)

// evaluation is a candidate's outputs on the evaluation set, and the baseline to compare them with.
type evaluation struct {
	baseline baseline
	set      evaluationSet
	answers  gate.Answers
}

// baseline is the current version, which the gate compares the candidate with.
type baseline struct {
	version, folder string
	watermark       time.Time // of the newest interaction that it was made of
	missing         string    // why there is none
}

// findBaseline fetches the current version. A broken one does not stand in the way of the
// next.
func (r *run) findBaseline(ctx context.Context) (found baseline, err error) {
	found.version, err = r.models.Current(ctx)
	if errors.Is(err, registry.ErrNoVersion) {
		return baseline{missing: "there is no current version"}, nil
	}
	if err != nil {
		return baseline{}, err
	}
	if found.folder, err = r.models.Fetch(ctx, found.version); err != nil {
		return r.withoutBaseline(ctx, found, err)
	}
	var report Report
	if err := readJSON(filepath.Join(found.folder, MetricsFile), &report); err != nil {
		r.config.Logger.WarnContext(ctx, "what is new since the current version is not known", "version", found.version, "err", err)
	}
	found.watermark = report.Watermark
	return found, nil
}

// withoutBaseline replaces a version that cannot be evaluated by the popular items, unless the run was stopped.
func (r *run) withoutBaseline(ctx context.Context, broken baseline, err error) (baseline, error) {
	if ctx.Err() != nil {
		return baseline{}, err
	}
	r.config.Logger.WarnContext(ctx, "the current version is broken, the new one competes with the popular items", "version", broken.version, "err", err)
	return baseline{missing: fmt.Sprintf("the current version %s is broken (%v)", broken.version, err)}, nil
}

// evaluateGate evaluates the baseline on the same set and compares the candidate with it.
func (r *run) evaluateGate(ctx context.Context, t evaluation, items *catalog.Catalog) (v gate.Verdict, err error) {
	c := gate.Candidate{Answers: t.answers, Taken: t.set.popularShare(), Seed: r.config.Seed}
	if t.baseline.missing == "" {
		err := withStored(t.baseline.folder, r.config.Device, r.search(), func(ranker *model.Ranker, theirs *catalog.Catalog) error {
			_, answers, err := t.set.evaluate(ctx, ranker, theirs, "evaluate "+t.baseline.version, r.progress)
			if err == nil {
				v = c.Against(t.baseline.version, answers, gains(items, theirs))
			}
			return err
		})
		if err == nil {
			return v, nil
		}
		if t.baseline, err = r.withoutBaseline(ctx, t.baseline, err); err != nil {
			return v, err
		}
	}
	return c.Alone(t.baseline.missing, t.set.popularity(r.sequences, r.config.Ranker.AllowSeen)), nil
}

// gains are those of a catalog over an older one.
func gains(items, older *catalog.Catalog) gate.Gains {
	g := gate.Gains{Growth: float64(items.Interactions()) / max(1, float64(older.Interactions()))}
	for n := 1; n <= items.Items(); n++ {
		if older.ItemIndex(items.ItemID(n)) == catalog.Unknown {
			g.NewItems++
		}
	}
	return g
}

// watermark is the time of the newest interaction, which in a snapshot is no later than its
// own.
func (r *run) watermark() (newest time.Time) {
	for _, s := range r.sequences {
		if s.Newest.After(newest) {
			newest = s.Newest
		}
	}
	return newest
}
