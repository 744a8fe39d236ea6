package retrain

import (
	"context"

	"genrec/model"
	"genrec/model/catalog"
)

// begin makes the model that the training begins from, with what belongs to it: random, or
// with what an earlier one has learned. It also draws the users of the validation.
func (r *run) begin(ctx context.Context) (b model.Bundle, err error) {
	var previous *catalog.Catalog
	if r.before != nil {
		previous = r.before.catalog
	}
	if b, err = r.writeIDs(ctx, catalog.Options{
		Text: r.config.Text, WithoutUsers: r.config.UnknownUser == 1, Previous: previous, Seed: r.config.Seed,
	}); err != nil {
		return b, err
	}
	if b, err = r.newModel(b); err != nil {
		return b, err
	}
	r.heldBack = r.holdBack(b.Catalog, 1)
	if r.cold = r.config.whyCold(r.before); r.cold == "" {
		if err := r.goOn(b); err != nil {
			r.cold = err.Error()
			b.Model.Drop() // of which some weights may have been taken over
			if b, err = r.newModel(b); err != nil {
				return b, err
			}
		}
	}
	if r.start == nil {
		r.config.Logger.InfoContext(ctx, "training from scratch", "because", r.cold)
	} else {
		r.config.Logger.InfoContext(ctx, "training goes on from an earlier version", "from", r.start.From,
			"in_a_row", r.start.InARow, "new_items", r.start.NewItems)
	}
	return b, nil
}

// newModel adds the model to the bundle.
func (r *run) newModel(b model.Bundle) (_ model.Bundle, err error) {
	users, items := b.Catalog.Users(), b.Catalog.Items()
	if folder := r.config.Pretrained; folder != "" {
		b.Model, err = model.LoadPretrained(folder, users, items, r.config.Seed, r.config.Device)
		return b, err
	}
	shape := r.config.Model
	shape.Vocabulary, shape.Users, shape.Items = b.Vocabulary.Size(), users, items
	if b.Model, err = model.New(shape, r.config.Seed, r.config.Device); err != nil || !r.config.StartFromUse {
		return b, err
	}
	if err := b.Model.InitItems(b.Catalog.Embeddings()); err != nil {
		b.Model.Drop()
		return b, err
	}
	return b, nil
}
