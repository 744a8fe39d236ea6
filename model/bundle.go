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

// CatalogFile stands beside the model's own files in a version's folder, as do
// those of the vocabulary and of the rules.
const CatalogFile = "catalog.json"

// RulesFile is the name of the file with the rules of a kind.
func RulesFile(kind itemstats.RuleKind) string { return kind.String() + "_rules.safetensors" }

// Bundle is a model with what it takes to use it: everything that a published
// version holds.
type Bundle struct {
	Model      *Model
	Catalog    *catalog.Catalog
	Vocabulary tokens.Tokenizer
	Rules      [itemstats.RuleKinds]*itemstats.Rules // nil for a kind without any
}

// Builder makes what the model reads and is asked for.
func (b Bundle) Builder() *examples.Builder {
	return examples.NewBuilder(examples.Config{
		Catalog: b.Catalog, Tokenizer: b.Vocabulary,
		MaxTokens: b.Model.Config.MaxTokens(), PoolTokens: b.Model.Config.WordPositions,
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

// Check says whether the parts fit together.
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
	return CheckTexts(b.Catalog, b.Vocabulary, c)
}

// CheckTexts says whether a model of a shape can read and write the ids of a catalog: it knows
// the vocabulary, which has the tokens of all items, no two items are written alike, and a user
// and an item fit into the model's positions.
func CheckTexts(ids *catalog.Catalog, v tokens.Tokenizer, shape Config) error {
	if size := v.Size(); size > shape.Vocabulary {
		return fmt.Errorf("the vocabulary has %d tokens, the model's vocab_size is %d", size, shape.Vocabulary)
	}
	longestItem, longestUser := 0, 0
	for n := 1; n <= ids.Items(); n++ {
		written := v.Encode(ids.ItemText(n))
		if slices.Contains(written, tokens.Unknown) {
			return fmt.Errorf("the vocabulary lacks a token of %q, the text of item %q", ids.ItemText(n), ids.ItemID(n))
		}
		longestItem = max(longestItem, len(written))
	}
	if a, b, found := ids.DuplicateText(); found {
		return fmt.Errorf("the items %q and %q are both written %q", a, b, ids.ItemText(ids.ItemIndex(a)))
	}
	for n := 0; n <= ids.Users(); n++ {
		longestUser = max(longestUser, len(v.Encode(ids.UserText(n))))
	}
	// The decoder writes an item token by token, between begin and end.
	if longest := longestItem + 2; longest > shape.MaxPositions {
		return fmt.Errorf("an item of %d tokens does not fit into the decoder's %d positions", longestItem, shape.MaxPositions)
	}
	if shape.WordPositions {
		longestUser, longestItem = 1, 1
	}
	const marks = 3 // begin, mask, end
	if longest := longestUser + longestItem + marks; longest > shape.MaxTokens() {
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
