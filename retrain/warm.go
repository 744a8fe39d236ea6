package retrain

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"genrec/model"
	"genrec/model/catalog"
	"genrec/model/tokens"
)

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

// errSeen keeps a validation from asking for what the weights have learned.
var errSeen = errors.New("the versions before have learned from most users of the validation")

// whyCold says why a training begins from scratch, as far as that can be told without its
// data; "" if it does not.
func (c Config) whyCold(p *predecessor) string {
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

// goOn gives the bundle's model the weights of the version before.
func (r *run) goOn(b model.Bundle) error {
	heldBack := r.holdBack(b.Catalog, r.before.report.HeldBack)
	if 2*len(heldBack.users) < len(r.heldBack.users) {
		return errSeen
	}
	if err := r.before.writesAlike(b); err != nil {
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

// loosen measures the weights as they were taken over, and lets them forget what they learned
// of single items by heart, which the validation's users have nothing of.
func (t *training) loosen(ctx context.Context) (err error) {
	if t.start.Before, err = evaluate(ctx, t.ranker, t.questions, "validate", silent{}); err != nil {
		return err
	}
	if share := t.config.WarmStart.Smoothing; share > 0 {
		return t.bundle.Model.SmoothItems(t.near, share)
	}
	return nil
}

// writesAlike says whether the items that both know are the same tokens to both: weights
// have learned these and no others.
func (p *predecessor) writesAlike(b model.Bundle) error {
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
