package model

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"genrec/model/catalog"
	"genrec/model/examples"
	"genrec/model/itemstats"
	"genrec/model/tokens"
)

// CatalogFile is the name of the catalog in a version's folder.
const CatalogFile = "catalog.json"

// RulesFile is the name of a kind's rules in a version's folder.
func RulesFile(kind itemstats.RuleKind) string { return kind.String() + "_rules.safetensors" }

// Bundle is a model with all that is needed to use it: the contents of a published version.
type Bundle struct {
	// Model holds the network and its weights.
	Model *Model
	// Catalog has the users and items of the model's ID tables, and the texts of the items.
	Catalog *catalog.Catalog
	// Vocabulary turns texts into tokens.
	Vocabulary tokens.Tokenizer
	// Rules are nil for a kind without any.
	Rules [itemstats.RuleKinds]*itemstats.Rules
}

// Builder returns a builder of the model's inputs and training examples.
func (b Bundle) Builder() *examples.Builder {
	return examples.NewBuilder(examples.Config{
		Catalog: b.Catalog, Tokenizer: b.Vocabulary,
		MaxTokens: b.Model.Config.MaxTokens(), PoolTokens: b.Model.Config.WordPositions, ItemLeaves: b.Model.Config.ItemLeaves,
	})
}

// Save writes the bundle into a folder.
func (b Bundle) Save(dir string) error {
	if err := b.Model.Save(dir); err != nil {
		return err
	}
	if err := b.Catalog.Save(filepath.Join(dir, CatalogFile)); err != nil {
		return err
	}
	for kind, learned := range b.Rules {
		if learned == nil {
			continue
		}
		if err := learned.Save(filepath.Join(dir, RulesFile(itemstats.RuleKind(kind)))); err != nil {
			return err
		}
	}
	return b.Vocabulary.Save(dir)
}

// Check reports the first mismatch between the parts of the bundle.
func (b Bundle) Check() error {
	c := b.Model.Config
	if c.Users != b.Catalog.Users() || c.Items != b.Catalog.Items() {
		return fmt.Errorf("the catalog has %d users and %d items, the model's genrec_users is %d and genrec_items %d",
			b.Catalog.Users(), b.Catalog.Items(), c.Users, c.Items)
	}
	for kind, learned := range b.Rules {
		if learned != nil && learned.Items() != c.Items {
			return fmt.Errorf("the %v rules are of %d items, the model's genrec_items is %d", itemstats.RuleKind(kind), learned.Items(), c.Items)
		}
	}
	if c.ItemLeaves && b.Catalog.CodeLevels() == 0 {
		return errors.New("genrec_item_leaves needs items that are written as codes")
	}
	return CheckTexts(b.Catalog, b.Vocabulary, c)
}

// CheckTexts reports why a model of a shape cannot read and generate the ids of a catalog: tokens beyond
// its vocabulary, items with unknown tokens or the same text, or a user and an item that are longer than
// its input.
func CheckTexts(ids *catalog.Catalog, v tokens.Tokenizer, shape Config) error {
	if size := v.Size(); size > shape.Vocabulary {
		return fmt.Errorf("the vocabulary has %d tokens, the model's vocab_size is %d", size, shape.Vocabulary)
	}
	longestItem, longestUser := 0, 0
	for n := 1; n <= ids.Items(); n++ {
		text := v.Encode(ids.ItemText(n))
		if slices.Contains(text, tokens.Unknown) {
			return fmt.Errorf("the vocabulary lacks a token of %q, the text of item %q", ids.ItemText(n), ids.ItemID(n))
		}
		longestItem = max(longestItem, len(text))
	}
	if a, b, found := ids.DuplicateText(); found {
		return fmt.Errorf("the items %q and %q have the same text %q", a, b, ids.ItemText(ids.ItemIndex(a)))
	}
	for n := 0; n <= ids.Users(); n++ {
		longestUser = max(longestUser, len(v.Encode(ids.UserText(n))))
	}
	// The decoder generates begin, the tokens of the item, and end.
	if longest := longestItem + 2; longest > shape.MaxPositions {
		return fmt.Errorf("an item of %d tokens does not fit into the decoder's %d positions", longestItem, shape.MaxPositions)
	}
	if shape.WordPositions {
		longestUser, longestItem = 1, 1
	}
	const special = 3 // begin, mask, end
	if longest := longestUser + longestItem + special; longest > shape.MaxTokens() {
		return fmt.Errorf("a user of %d positions and an item of %d do not fit into the model's %d", longestUser, longestItem, shape.MaxTokens())
	}
	return nil
}

// LoadBundle reads what Save wrote.
func LoadBundle(dir string, device Device) (Bundle, error) {
	vocabulary, err := tokens.Load(dir)
	if err != nil {
		return Bundle{}, err
	}
	c, err := catalog.Load(filepath.Join(dir, CatalogFile))
	if err != nil {
		return Bundle{}, err
	}
	b := Bundle{Catalog: c, Vocabulary: vocabulary}
	for kind := range itemstats.RuleKinds {
		b.Rules[kind], err = itemstats.LoadRules(kind, filepath.Join(dir, RulesFile(kind)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return Bundle{}, err
		}
	}
	m, err := Load(dir, device)
	if err != nil {
		return Bundle{}, err
	}
	b.Model = m
	if err := b.Check(); err != nil {
		m.Drop()
		return Bundle{}, fmt.Errorf("load model version %s: %w", dir, err)
	}
	return b, nil
}
