package tokens

import (
	"fmt"
	"maps"
	"strings"
)

// codedLevels bounds the length of a code by the letters that name its levels.
const codedLevels = 'z' - 'a' + 1

// Coded is the vocabulary of models that write items as learned codes: the special
// tokens, the word `user`, and a piece for each number of each level, with the level
// as a letter. `a7b201` reads a7, b201.
type Coded struct{ pieceTable }

// NewCoded builds the vocabulary of codes of so many levels, each with numbers 0 to
// size-1.
func NewCoded(levels, size int) (*Coded, error) {
	if levels < 1 || levels > codedLevels || size < 1 {
		return nil, fmt.Errorf("vocabulary of codes: %d levels of %d numbers, want 1 to %d levels of at least one", levels, size, codedLevels)
	}
	pieces := append(specials[:len(specials):len(specials)], "user")
	for level := range levels {
		for number := range size {
			pieces = append(pieces, fmt.Sprintf("%c%d", 'a'+level, number))
		}
	}
	return &Coded{newPieceTable(pieces)}, nil
}

// codedFrom makes the vocabulary that numbers its pieces as given, nil if none does.
func codedFrom(ids map[string]int64) *Coded {
	levels, codes := 0, len(ids)-len(specials)-1
	for levels < codedLevels {
		if _, found := ids[fmt.Sprintf("%c0", 'a'+levels)]; !found {
			break
		}
		levels++
	}
	if levels == 0 || codes < levels {
		return nil
	}
	c, err := NewCoded(levels, codes/levels)
	if err != nil || !maps.Equal(ids, c.ids) {
		return nil
	}
	return c
}

// Encode splits a code before each letter. A word that the vocabulary has is one
// token; a piece that it lacks becomes the unknown token.
func (c *Coded) Encode(text string) []int64 {
	if id, known := c.ids[text]; known {
		return []int64{id}
	}
	var ids []int64
	for text != "" {
		end := 1 + strings.IndexFunc(text[1:], func(r rune) bool { return r < '0' || r > '9' })
		if end == 0 {
			end = len(text)
		}
		ids = append(ids, c.id(text[:end]))
		text = text[end:]
	}
	return ids
}
