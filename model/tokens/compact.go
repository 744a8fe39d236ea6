// Package tokens turns the text of users and items into the token ids that the
// model reads and writes.
package tokens

import (
	"fmt"
	"slices"
	"strings"
)

// Compact is the vocabulary of models that are trained from scratch: the special
// tokens, the words `user`, `item` and `_`, and digits in pairs with single
// digits for what is left over. `item_12345` reads item, _, 12, 34, 5, the split
// that the paper shows (section 4.1) for BART's own vocabulary.
type Compact struct{ pieceTable }

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
	return &Compact{newPieceTable(pieces)}
}

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
