package retrain

import (
	"context"
	"errors"
	"fmt"

	"genrec/model"
	"genrec/model/catalog"
	"genrec/model/itemstats"
	"genrec/model/tokens"
)

// initialized is the result of the first stage.
type initialized struct {
	bundle        model.Bundle
	heldOut       heldOut    // users of the validation
	warmStart     *WarmStart // nil from scratch
	similar       [][]int    // by item index, the most similar items; nil from scratch
	scratchReason string     // why from scratch
}

// initialize builds the catalog and a model with random weights, or those of the previous version,
// and selects the users of the validation.
func initialize(ctx context.Context, c Config, sequences []catalog.Sequence, previous *previousVersion) (_ *initialized, err error) {
	start := new(initialized)
	options := catalog.Options{Text: c.Text, WithoutUsers: c.UnknownUser == 1, Seed: c.Seed}
	if previous != nil && previous.shape.ItemLeaves == c.Model.ItemLeaves { // others have another kind of codes
		options.Previous = previous.catalog
	}
	start.bundle, err = c.buildCatalog(ctx, sequences, options)
	if errors.Is(err, itemstats.ErrNoFreeCode) {
		c.Logger.InfoContext(ctx, "learning all codes anew", "because", err)
		options.Previous = nil
		start.bundle, err = c.buildCatalog(ctx, sequences, options)
	}
	if err != nil {
		return nil, err
	}
	if start.bundle, err = c.newModel(start.bundle); err != nil {
		return nil, err
	}
	start.heldOut = holdOut(sequences, c.ValidationUsers, start.bundle.Catalog.Interactions(), 1)
	if start.scratchReason = c.scratchReason(previous); start.scratchReason == "" {
		if err := start.warmStartFrom(previous, c, sequences); err != nil {
			start.scratchReason = err.Error()
			start.bundle.Model.Drop() // it may have some of the previous version's weights
			if start.bundle, err = c.newModel(start.bundle); err != nil {
				return nil, err
			}
		}
	}
	if start.warmStart == nil {
		c.Logger.InfoContext(ctx, "training from scratch", "because", start.scratchReason)
	} else {
		c.Logger.InfoContext(ctx, "training from an earlier version", "from", start.warmStart.From,
			"in_a_row", start.warmStart.InARow, "new_items", start.warmStart.NewItems)
	}
	return start, nil
}

// newModel adds a model with initial weights to the bundle.
func (c Config) newModel(b model.Bundle) (_ model.Bundle, err error) {
	users, items := b.Catalog.Users(), b.Catalog.Items()
	if c.Pretrained != "" {
		b.Model, err = model.LoadPretrained(c.Pretrained, users, items, c.Seed, c.Device)
		return b, err
	}
	shape := c.Model
	shape.Vocabulary, shape.Users, shape.Items = b.Vocabulary.Size(), users, items
	if b.Model, err = model.New(shape, c.Seed, c.Device); err != nil || !c.StartFromUse {
		return b, err
	}
	if err := b.Model.InitItems(b.Catalog.Embeddings()); err != nil {
		b.Model.Drop()
		return b, err
	}
	return b, nil
}

// buildCatalog builds the catalog and the vocabulary in which its ids are written. The text formats
// Literal and Padded need a vocabulary with the ids' characters and enough positions; ids that they
// cannot write are replaced by consecutive numbers.
func (c Config) buildCatalog(ctx context.Context, sequences []catalog.Sequence, options catalog.Options) (b model.Bundle, err error) {
	if b, err = c.newCatalog(sequences, options); err != nil {
		return b, err
	}
	unwritable := c.checkTexts(b)
	if unwritable == nil || options.Text == catalog.Codes || options.Text == catalog.Numbered {
		return b, unwritable
	}
	c.Logger.InfoContext(ctx, "ids are written as consecutive numbers", "instead_of", options.Text, "because", unwritable)
	options.Text = catalog.Numbered
	if b, err = c.newCatalog(sequences, options); err != nil {
		return b, err
	}
	return b, c.checkTexts(b)
}

// newCatalog returns a bundle with a catalog and a vocabulary, and without a model.
func (c Config) newCatalog(sequences []catalog.Sequence, options catalog.Options) (b model.Bundle, err error) {
	if b.Catalog, err = catalog.Build(sequences, options); err != nil {
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
		if shape, err = model.ReadConfig(c.Pretrained); err != nil {
			return err
		}
	}
	return model.CheckTexts(b.Catalog, b.Vocabulary, shape)
}

// Preflight returns an error if every training would fail, whatever its data. Call it before taking a
// snapshot, which may take long.
func (c Config) Preflight() error {
	if err := c.Validate(); err != nil {
		return fmt.Errorf("retrain configuration: %w", err)
	}
	// The shortest possible ids.
	smallest, err := c.newCatalog([]catalog.Sequence{{User: "1", Items: []string{"1", "2", "3"}}}, catalog.Options{Text: c.Text})
	if err == nil {
		err = c.checkTexts(smallest)
	}
	if err != nil || c.Pretrained == "" {
		return err
	}
	return onOwnThread(c.Logger, func() error {
		m, err := model.LoadPretrained(c.Pretrained, 1, 1, c.Seed, model.CPU)
		if err == nil {
			m.Drop()
		}
		return err
	})
}
