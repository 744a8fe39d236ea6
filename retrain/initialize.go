package retrain

import (
	"context"
	"fmt"

	"genrec/model"
	"genrec/model/catalog"
	"genrec/model/itemstats"
	"genrec/model/tokens"
)

// initialize makes the model that the training begins from, with what belongs to it: random, or
// with what an earlier one has learned. It also draws the users of the validation.
func (r *run) initialize(ctx context.Context) (b model.Bundle, err error) {
	var previous *catalog.Catalog
	if r.before != nil {
		previous = r.before.catalog
	}
	if b, err = r.buildCatalog(ctx, catalog.Options{
		Text: r.config.Text, WithoutUsers: r.config.UnknownUser == 1, Previous: previous, Seed: r.config.Seed,
	}); err != nil {
		return b, err
	}
	if b, err = r.newModel(b); err != nil {
		return b, err
	}
	r.heldBack = r.holdBack(b.Catalog, 1)
	if r.cold = r.config.scratchReason(r.before); r.cold == "" {
		if err := r.warmStart(b); err != nil {
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

// buildCatalog builds the catalog, and the vocabulary that its ids are written in. Literal and
// padded ids are for vocabularies that have their characters, and for models with enough
// positions: other ids are written as dense numbers, which any model can read.
func (r *run) buildCatalog(ctx context.Context, settings catalog.Options) (b model.Bundle, err error) {
	if b, err = r.config.written(r.sequences, settings); err != nil {
		return b, err
	}
	unwritable := r.config.checkTexts(b)
	if unwritable == nil || settings.Text == catalog.Codes || settings.Text == catalog.Numbered {
		return b, unwritable
	}
	r.config.Logger.InfoContext(ctx, "ids are written as dense numbers", "instead_of", settings.Text, "because", unwritable)
	settings.Text = catalog.Numbered
	if b, err = r.config.written(r.sequences, settings); err != nil {
		return b, err
	}
	return b, r.config.checkTexts(b)
}

// written is a bundle without a model.
func (c Config) written(sequences []catalog.Sequence, settings catalog.Options) (b model.Bundle, err error) {
	if b.Catalog, err = catalog.Build(sequences, settings); err != nil {
		return b, err
	}
	if c.Pretrained != "" {
		b.Vocabulary, err = tokens.Load(c.Pretrained)
	} else {
		b.Vocabulary, err = vocabularyOf(b.Catalog)
	}
	return b, err
}

func vocabularyOf(c *catalog.Catalog) (tokens.Tokenizer, error) {
	if levels := c.CodeLevels(); levels > 0 {
		return tokens.NewCodes(levels, itemstats.CodebookSize)
	}
	return tokens.NewDigits(), nil
}

func (c Config) checkTexts(b model.Bundle) error {
	shape := c.Model
	shape.Vocabulary = b.Vocabulary.Size()
	if c.Pretrained != "" {
		var err error
		if shape, err = model.PretrainedConfig(c.Pretrained); err != nil {
			return err
		}
	}
	return model.CheckTexts(b.Catalog, b.Vocabulary, shape)
}

// Preflight reports what would let every training fail, whatever its data: it is asked before
// a snapshot is taken, which may take long.
func (c Config) Preflight() error {
	if err := c.Validate(); err != nil {
		return fmt.Errorf("retrain configuration: %w", err)
	}
	// The shortest ids that there are.
	smallest, err := c.written([]catalog.Sequence{{User: "1", Items: []string{"1", "2", "3"}}}, catalog.Options{Text: c.Text})
	if err == nil {
		err = c.checkTexts(smallest)
	}
	if err != nil || c.Pretrained == "" {
		return err
	}
	return (&run{config: c}).onOwnThread(func() error {
		m, err := model.LoadPretrained(c.Pretrained, 1, 1, c.Seed, model.CPU)
		if err == nil {
			m.Drop()
		}
		return err
	})
}
