package retrain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"genrec/model"
	"genrec/model/catalog"
	"genrec/pkg/registry"
	"genrec/retrain/gate"
)

// evaluation is the result of evaluating a candidate.
type evaluation struct {
	metrics  Metrics // leave-one-out
	set      evaluationSet
	results  gate.Results // of the candidate on the set
	baseline baseline     // the current version
	seconds  float64
}

// evaluateCandidate evaluates the trained model leave-one-out and on interactions that are newer than
// the current version.
func evaluateCandidate(ctx context.Context, c Config, sequences []catalog.Sequence, models *registry.Registry, ranker *model.Ranker, items *catalog.Catalog) (e evaluation, err error) {
	started := time.Now()
	if e.baseline, err = findBaseline(ctx, c.Logger, models); err != nil { // now: it may have changed during the training
		return e, err
	}
	e.set = newEvaluationSet(c, sequences, items, e.baseline.watermark)
	e.metrics, e.results, err = e.set.evaluate(ctx, ranker, items, "evaluate", c.Progress)
	e.seconds = time.Since(started).Seconds()
	return e, err
}

// baseline is the current version, with which the gate compares the candidate.
type baseline struct {
	version, folder string
	watermark       time.Time // of the newest interaction in its snapshot
	missing         string    // why there is none
}

// findBaseline fetches the current version. A damaged one counts as missing.
func findBaseline(ctx context.Context, logger *slog.Logger, models *registry.Registry) (found baseline, err error) {
	found.version, err = models.Current(ctx)
	if errors.Is(err, registry.ErrNoVersion) {
		return baseline{missing: "there is no current version"}, nil
	}
	if err != nil {
		return baseline{}, err
	}
	if found.folder, err = models.Fetch(ctx, found.version); err != nil {
		return withoutBaseline(ctx, logger, found.version, err)
	}
	var report Report
	if err := readJSON(filepath.Join(found.folder, MetricsFile), &report); err != nil {
		logger.WarnContext(ctx, "cannot read the current version's metrics: not evaluating newer interactions", "version", found.version, "err", err)
	}
	found.watermark = report.Watermark
	return found, nil
}

// withoutBaseline makes popular items the baseline instead of a version that cannot be evaluated, unless
// the run was stopped.
func withoutBaseline(ctx context.Context, logger *slog.Logger, version string, err error) (baseline, error) {
	if ctx.Err() != nil {
		return baseline{}, err
	}
	logger.WarnContext(ctx, "cannot evaluate the current version, comparing the candidate with popular items", "version", version, "err", err)
	return baseline{missing: fmt.Sprintf("the current version %s is broken (%v)", version, err)}, nil
}

// evaluateGate evaluates the baseline on the candidate's evaluation set and decides between them.
func evaluateGate(ctx context.Context, c Config, sequences []catalog.Sequence, e evaluation, items *catalog.Catalog) (v gate.Verdict, err error) {
	candidate := gate.Candidate{Results: e.results, PopularTargets: e.set.popularTargets(), Seed: c.Seed}
	if e.baseline.missing == "" {
		err := withStored(e.baseline.folder, c.Device, c.trainingRanker(), func(ranker *model.Ranker, older *catalog.Catalog) error {
			_, results, err := e.set.evaluate(ctx, ranker, older, "evaluate "+e.baseline.version, c.Progress)
			if err == nil {
				v = candidate.CompareWithCurrent(e.baseline.version, results, gains(items, older))
			}
			return err
		})
		if err == nil {
			return v, nil
		}
		if e.baseline, err = withoutBaseline(ctx, c.Logger, e.baseline.version, err); err != nil {
			return v, err
		}
	}
	return candidate.CompareWithPopular(e.baseline.missing, e.set.popularity(sequences, c.Ranker.AllowSeen)), nil
}

// gains compares a catalog with an older one.
func gains(items, older *catalog.Catalog) gate.Gains {
	g := gate.Gains{Growth: float64(items.Interactions()) / max(1, float64(older.Interactions()))}
	for n := 1; n <= items.Items(); n++ {
		if older.ItemIndex(items.ItemID(n)) == catalog.Unknown {
			g.NewItems++
		}
	}
	return g
}
