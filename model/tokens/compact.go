// Package tokens turns the text of users and items into the token ids that the
// model reads and writes.
package tokens

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// Special tokens, numbered as in BART's vocabulary; Mask follows them here
// because the compact vocabulary is small. A BPE has it elsewhere, see MaskID.
const (
	Begin   = 0 // <s>
	Pad     = 1 // <pad>
	End     = 2 // </s>, also the token that the decoder starts from
	Unknown = 3 // <unk>
	Mask    = 4 // <mask>
)

var specials = [...]string{Begin: "<s>", Pad: "<pad>", End: "</s>", Unknown: "<unk>", Mask: "<mask>"}

// Compact is the vocabulary of models that are trained from scratch: the special
// tokens, the words `user`, `item` and `_`, and digits in pairs with single
// digits for what is left over. `item_12345` reads item, _, 12, 34, 5, the split
// that the paper shows (section 4.1) for BART's own vocabulary.
type Compact struct {
	pieces []string
	ids    map[string]int64
}

// NewCompact builds the vocabulary. It has no parameters, so every compact model
// shares it.
func NewCompact() *Compact {
	pieces := append(slices.Clone(specials[:]), "user", "item", "_")
	for d := range 10 {
		pieces = append(pieces, fmt.Sprintf("%d", d))
	}
	for d := range 100 {
		pieces = append(pieces, fmt.Sprintf("%02d", d))
	}
	c := &Compact{pieces: pieces, ids: make(map[string]int64, len(pieces))}
	for id, piece := range pieces {
		c.ids[piece] = int64(id)
	}
	return c
}

// Save writes the vocabulary as JSON, piece to id, like BART's vocab.json.
func (c *Compact) Save(dir string) error { return saveIDs(dir, c.ids) }

// loadWords reads a vocabulary of this package's own, and refuses one that numbers
// its pieces otherwise.
func loadWords(dir string) (Vocabulary, error) {
	path := filepath.Join(dir, VocabularyFile)
	data, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("read vocabulary: %w", err)
	}
	var ids map[string]int64
	if err := json.Unmarshal(data, &ids); err != nil {
		return nil, fmt.Errorf("decode vocabulary %s: %w", path, err)
	}
	if c := NewCompact(); maps.Equal(ids, c.ids) {
		return c, nil
	}
	if c := codedFrom(ids); c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("vocabulary %s is neither the compact one nor one of codes, and there is no %s beside it: retrain with this release",
		path, MergesFile)
}

// Size is the number of tokens in the vocabulary.
func (c *Compact) Size() int { return len(c.pieces) }

// MaskID is the id of the mask token.
func (c *Compact) MaskID() int64 { return Mask }

// Encode splits `word_digits` into token ids. A piece that the vocabulary lacks
// becomes the unknown token.
func (c *Compact) Encode(text string) []int64 {
	word, digits, found := strings.Cut(text, "_")
	ids := []int64{c.id(word)}
	if !found {
		return ids
	}
	ids = append(ids, c.id("_"))
	for len(digits) > 0 {
		n := min(2, len(digits))
		ids = append(ids, c.id(digits[:n]))
		digits = digits[n:]
	}
	return ids
}

// Decode writes token ids as text, one piece after the other.
func (c *Compact) Decode(ids []int64) string { return decode(c.pieces, ids) }

func (c *Compact) id(piece string) int64 {
	if id, known := c.ids[piece]; known {
		return id
	}
	return Unknown
}
