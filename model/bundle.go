package model

import (
	"path/filepath"

	"genrec/model/catalog"
	"genrec/model/tokens"
)

// Names of the files beside the model's own in a version's folder.
const (
	CatalogFile    = "catalog.json"
	VocabularyFile = "vocab.json"
)

// Bundle is a model with what it takes to use it: everything that a published
// version holds.
type Bundle struct {
	Model      *Model
	Catalog    *catalog.Catalog
	Vocabulary *tokens.Compact
}

// Save writes the bundle into a folder.
func (b Bundle) Save(dir string) error {
	if err := b.Model.Save(dir); err != nil {
		return err
	}
	if err := b.Catalog.Save(filepath.Join(dir, CatalogFile)); err != nil {
		return err
	}
	return b.Vocabulary.Save(filepath.Join(dir, VocabularyFile))
}

// LoadBundle reads what Save wrote.
func LoadBundle(dir string, device Device) (Bundle, error) {
	vocabulary, err := tokens.LoadCompact(filepath.Join(dir, VocabularyFile))
	if err != nil {
		return Bundle{}, err
	}
	c, err := catalog.Load(filepath.Join(dir, CatalogFile))
	if err != nil {
		return Bundle{}, err
	}
	m, err := Load(dir, device)
	if err != nil {
		return Bundle{}, err
	}
	return Bundle{Model: m, Catalog: c, Vocabulary: vocabulary}, nil
}
