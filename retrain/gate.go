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

// trial is a candidate's, with what it answered.
type trial struct {
	rival   rival
	exam    exam
	answers gate.Answers
}

// rival is the current version.
type rival struct {
	version, folder string
	watermark       time.Time // of the newest interaction that it was made of
	missing         string    // why there is none
}

// findRival fetches the current version. A broken one does not stand in the way of the
// next.
func (r *run) findRival(ctx context.Context) (found rival, err error) {
	found.version, err = r.models.Current(ctx)
	if errors.Is(err, registry.ErrNoVersion) {
		return rival{missing: "there is no current version"}, nil
	}
	if err != nil {
		return rival{}, err
	}
	if found.folder, err = r.models.Fetch(ctx, found.version); err != nil {
		return r.without(ctx, found, err)
	}
	var report Report
	if err := readJSON(filepath.Join(found.folder, MetricsFile), &report); err != nil {
		r.config.Logger.WarnContext(ctx, "what is new since the current version is not known", "version", found.version, "err", err)
	}
	found.watermark = report.Watermark
	return found, nil
}

// without says that a version is no rival, unless the run was stopped.
func (r *run) without(ctx context.Context, broken rival, err error) (rival, error) {
	if ctx.Err() != nil {
		return rival{}, err
	}
	r.config.Logger.WarnContext(ctx, "the current version is broken, the new one competes with the popular items", "version", broken.version, "err", err)
	return rival{missing: fmt.Sprintf("the current version %s is broken (%v)", broken.version, err)}, nil
}

// judge lets the rival sit the exam, too, and asks the gate.
func (r *run) judge(ctx context.Context, t trial, items *catalog.Catalog) (v gate.Verdict, err error) {
	c := gate.Candidate{Answers: t.answers, Taken: t.exam.taken(), Seed: r.config.Seed}
	if t.rival.missing == "" {
		err := withStored(t.rival.folder, r.config.Device, r.search(), func(ranker *model.Ranker, theirs *catalog.Catalog) error {
			_, answers, err := t.exam.sit(ctx, ranker, theirs, "evaluate "+t.rival.version, r.progress)
			if err == nil {
				v = c.Against(t.rival.version, answers, gains(items, theirs))
			}
			return err
		})
		if err == nil {
			return v, nil
		}
		if t.rival, err = r.without(ctx, t.rival, err); err != nil {
			return v, err
		}
	}
	return c.Alone(t.rival.missing, t.exam.popularity(r.sequences, r.config.Ranker.AllowSeen)), nil
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
