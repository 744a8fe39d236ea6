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

// previousVersion is the current version, on which the next one builds: items keep their codes, and a
// warm start takes over the weights.
type previousVersion struct {
	version string
	dir     string
	shape   model.Config
	catalog *catalog.Catalog
	report  Report
	newest  *WarmStart // how the newest version was trained, which the gate may have rejected
}

// previousVersion returns nil if the next version does not build on the current one.
func (c Config) previousVersion(ctx context.Context, models *registry.Registry) (*previousVersion, error) {
	if c.Text != catalog.Codes && c.WarmStart.Share == 0 {
		return nil, nil
	}
	version, err := models.Current(ctx)
	if errors.Is(err, registry.ErrNoVersion) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find the current version: %w", err)
	}
	p, err := readPreviousVersion(ctx, models, version)
	if err != nil && ctx.Err() == nil {
		c.Logger.WarnContext(ctx, "cannot read the current version, not building on it", "version", version, "err", err)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if p.newest, err = newestStart(ctx, models); err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		c.Logger.WarnContext(ctx, "cannot read the newest version: rejected trainings do not count towards the next one from scratch", "err", err)
		p.newest = p.report.WarmStart
	}
	return p, nil
}

// newestStart returns the warm start of the newest version, nil if it was trained from scratch.
func newestStart(ctx context.Context, models *registry.Registry) (*WarmStart, error) {
	versions, err := models.Versions(ctx)
	if err != nil {
		return nil, err
	}
	report, err := ReadReport(ctx, models, versions[len(versions)-1]) // not empty: there is a current version
	return report.WarmStart, err
}

func readPreviousVersion(ctx context.Context, models *registry.Registry, version string) (p *previousVersion, err error) {
	p = &previousVersion{version: version}
	if p.dir, err = models.Fetch(ctx, version); err != nil {
		return nil, err
	}
	if p.shape, err = model.ReadConfig(p.dir); err != nil {
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

// inARow returns the number of consecutive warm-started versions, with the next one.
func (p *previousVersion) inARow() int {
	if before := p.report.WarmStart; before != nil {
		return before.InARow + 1
	}
	return 1
}

// runs returns the number of consecutive warm-started trainings, with the next one. Trainings whose
// version was rejected count: otherwise a gate that rejects every warm start would prevent the next
// training from scratch.
func (p *previousVersion) runs() int {
	if p.newest != nil {
		return p.newest.Runs + 1
	}
	return 1
}

// WarmStart describes from which version a training started.
type WarmStart struct {
	From     string `json:"from"`      // version
	InARow   int    `json:"in_a_row"`  // versions since the last one from scratch, including this one
	Runs     int    `json:"runs"`      // trainings since the last one from scratch, including this one and rejected ones
	NewItems int    `json:"new_items"` // items that the version does not have
	// Before is the validation of that version's weights, before training.
	Before Metrics `json:"before"`
}

// neighbors is the number of most similar items whose mean initializes a new item, and towards which
// the others are smoothed.
const neighbors = 5

// errValidationSeen prevents validating on items that the weights were trained on.
var errValidationSeen = errors.New("earlier versions were trained on the held-out items of most validation users")

// scratchReason returns why a training starts from scratch, as far as that does not depend on its data;
// "" if it does not.
func (c Config) scratchReason(p *previousVersion) string {
	switch {
	case c.FromScratch:
		return "it was requested"
	case c.WarmStart.Share == 0:
		return "the recipe has no warm_start"
	case p == nil:
		return "there is no version to start from"
	case c.ScratchEvery > 0 && max(p.inARow(), p.runs()) >= c.ScratchEvery:
		return fmt.Sprintf("one training in %d is from scratch", c.ScratchEvery)
	}
	return ""
}

// warmStartFrom gives the model the weights of the previous version.
func (s *initialized) warmStartFrom(previous *previousVersion, c Config, sequences []catalog.Sequence) error {
	items := s.bundle.Catalog
	unseen := holdOut(sequences, c.ValidationUsers, items.Interactions(), previous.report.HeldBack)
	if 2*len(unseen.users) < len(s.heldOut.users) {
		return errValidationSeen
	}
	if err := previous.sameTokens(s.bundle); err != nil {
		return err
	}
	userRows, itemRows := items.RowMapping(previous.catalog)
	similar := items.SimilarItems(itemRows, neighbors)
	if err := s.bundle.Model.WarmStart(previous.dir, model.RowMapping{Users: userRows, Items: itemRows, Neighbors: similar}); err != nil {
		return err
	}
	s.heldOut, s.similar = unseen, similar
	s.warmStart = &WarmStart{From: previous.version, InARow: previous.inARow(), Runs: previous.runs()}
	for _, row := range itemRows[1:] {
		if row == catalog.Unknown {
			s.warmStart.NewItems++
		}
	}
	return nil
}

// smoothEmbeddings validates the weights of the previous version and smooths the item embeddings, because
// what they memorized about single items does not generalize to held-out items.
func (t *training) smoothEmbeddings(ctx context.Context) (err error) {
	if t.warmStart.Before, err = evaluate(ctx, t.ranker, t.validation, "validate", noProgress{}); err != nil {
		return err
	}
	if share := t.config.WarmStart.Smoothing; share > 0 {
		return t.bundle.Model.SmoothItems(t.similar, share)
	}
	return nil
}

// sameTokens returns an error if an item of both versions is not written in the same tokens: the weights
// would not fit.
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
			return fmt.Errorf("item %q was written as %q and is now %q, or in other tokens", b.Catalog.ItemID(here), was, is)
		}
	}
	return nil
}
