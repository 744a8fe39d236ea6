package retrain

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"genrec/model"
	"genrec/model/catalog"
	"genrec/model/tokens"
	"genrec/pkg/registry"
)

// previousVersion is the current version, as far as the next one builds on it: items keep
// their codes, and a warm start goes on from the weights.
type previousVersion struct {
	version string
	dir     string
	catalog *catalog.Catalog
	report  Report
	newest  *WarmStart // of the newest version, which may have been refused
}

// previousVersion is nil where nothing of the current version goes into the next one.
func (c Config) previousVersion(ctx context.Context, models *registry.Registry) (*previousVersion, error) {
	if c.Text != catalog.Codes && c.WarmStart.Share == 0 {
		return nil, nil
	}
	version, err := models.Current(ctx)
	if errors.Is(err, registry.ErrNoVersion) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for the version that this one follows: %w", err)
	}
	p, err := readPreviousVersion(ctx, models, version)
	if err != nil && ctx.Err() == nil {
		c.Logger.WarnContext(ctx, "nothing is taken over from the current version, which cannot be read", "version", version, "err", err)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if p.newest, err = newestStart(ctx, models); err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		c.Logger.WarnContext(ctx, "trainings that were refused do not count among those since one from scratch: the newest version cannot be read", "err", err)
		p.newest = p.report.WarmStart
	}
	return p, nil
}

// newestStart is what the newest version went on from.
func newestStart(ctx context.Context, models *registry.Registry) (*WarmStart, error) {
	versions, err := models.Versions(ctx)
	if err != nil {
		return nil, err
	}
	report, err := ReadReport(ctx, models, versions[len(versions)-1]) // there is a current one
	return report.WarmStart, err
}

func readPreviousVersion(ctx context.Context, models *registry.Registry, version string) (p *previousVersion, err error) {
	p = &previousVersion{version: version}
	if p.dir, err = models.Fetch(ctx, version); err != nil {
		return nil, err
	}
	if p.catalog, err = catalog.Load(filepath.Join(p.dir, model.CatalogFile)); err != nil {
		return nil, err
	}
	if err := readJSON(filepath.Join(p.dir, MetricsFile), &p.report); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *previousVersion) name() string {
	if p == nil {
		return ""
	}
	return p.version
}

// inARow is how many versions in a row would be warm starts with one more.
func (p *previousVersion) inARow() int {
	if before := p.report.WarmStart; before != nil {
		return before.InARow + 1
	}
	return 1
}

// runs is how many trainings in a row would be warm starts with one more. The gate may have
// refused some, which the current version knows nothing of: they count, or else a gate that
// refuses every warm start would keep the training from scratch from coming.
func (p *previousVersion) runs() int {
	if p.newest != nil {
		return p.newest.Runs + 1
	}
	return 1
}

// WarmStart is what a training that did not begin from scratch went on from.
type WarmStart struct {
	From     string `json:"from"`
	InARow   int    `json:"in_a_row"` // versions since one from scratch, with this one
	Runs     int    `json:"runs"`     // trainings since one from scratch, with this one: also those that were refused
	NewItems int    `json:"new_items"`
	// Before is the validation of the weights as they were taken over.
	Before Metrics `json:"before"`
}

// neighbors is among how many known items a new one begins, and to the middle of how many
// the others move.
const neighbors = 5

// errValidationSeen keeps a validation from asking for what the weights have learned.
var errValidationSeen = errors.New("the versions before have learned from most users of the validation")

// scratchReason says why a training begins from scratch, as far as that can be told without its
// data; "" if it does not.
func (c Config) scratchReason(p *previousVersion) string {
	switch {
	case c.FromScratch:
		return "it was asked for"
	case c.WarmStart.Share == 0:
		return "the recipe has no warm_start"
	case p == nil:
		return "there is no version to go on from"
	case c.ScratchEvery > 0 && max(p.inARow(), p.runs()) >= c.ScratchEvery:
		return fmt.Sprintf("one training in %d does", c.ScratchEvery)
	}
	return ""
}

// warmStart gives the bundle's model the weights of the version before.
func (r *run) warmStart(b model.Bundle) error {
	heldBack := r.holdBack(b.Catalog, r.before.report.HeldBack)
	if 2*len(heldBack.users) < len(r.heldBack.users) {
		return errValidationSeen
	}
	if err := r.before.sameTokens(b); err != nil {
		return err
	}
	users, items := b.Catalog.RowMapping(r.before.catalog)
	near := b.Catalog.SimilarItems(items, neighbors)
	if err := b.Model.WarmStart(r.before.dir, model.RowMapping{Users: users, Items: items, Neighbors: near}); err != nil {
		return err
	}
	r.heldBack, r.near = heldBack, near
	r.start = &WarmStart{From: r.before.version, InARow: r.before.inARow(), Runs: r.before.runs()}
	for _, before := range items[1:] {
		if before == catalog.Unknown {
			r.start.NewItems++
		}
	}
	return nil
}

// smoothEmbeddings measures the weights as they were taken over, and lets them forget what they learned
// of single items by heart, which the validation's users have nothing of.
func (t *training) smoothEmbeddings(ctx context.Context) (err error) {
	if t.start.Before, err = evaluate(ctx, t.ranker, t.questions, "validate", noProgress{}); err != nil {
		return err
	}
	if share := t.config.WarmStart.Smoothing; share > 0 {
		return t.bundle.Model.SmoothItems(t.near, share)
	}
	return nil
}

// sameTokens says whether the items that both know are the same tokens to both: weights
// have learned these and no others.
func (p *previousVersion) sameTokens(b model.Bundle) error {
	vocabulary, err := tokens.Load(p.dir)
	if err != nil {
		return err
	}
	_, items := b.Catalog.RowMapping(p.catalog)
	for here, there := range items {
		if there == catalog.Unknown {
			continue
		}
		was, is := p.catalog.ItemText(there), b.Catalog.ItemText(here)
		if !slices.Equal(vocabulary.Encode(was), b.Vocabulary.Encode(is)) {
			return fmt.Errorf("item %q was written %q and is now %q, or in other tokens", b.Catalog.ItemID(here), was, is)
		}
	}
	return nil
}
