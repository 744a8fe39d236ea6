package tokens

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
)

// codedLevels bounds the length of a code by the letters that name its levels.
const codedLevels = 'z' - 'a' + 1

// Coded is the vocabulary of models that write items as learned codes: the special
// tokens, the word `user`, and a piece for each number of each level, with the level
// as a letter. `a7b201` reads a7, b201.
type Coded struct {
	pieces []string
	ids    map[string]int64
}

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
	c := &Coded{pieces: pieces, ids: make(map[string]int64, len(pieces))}
	for id, piece := range pieces {
		c.ids[piece] = int64(id)
	}
	return c, nil
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

// Save writes the vocabulary as JSON, piece to id, like BART's vocab.json.
func (c *Coded) Save(dir string) error { return saveIDs(dir, c.ids) }

func saveIDs(dir string, ids map[string]int64) error {
	data, err := json.MarshalIndent(ids, "", " ")
	if err != nil {
		return fmt.Errorf("encode vocabulary: %w", err)
	}
	return writeFile(dir, VocabularyFile, append(data, '\n'))
}

// Size is the number of tokens in the vocabulary.
func (c *Coded) Size() int { return len(c.pieces) }

// MaskID is the id of the mask token.
func (c *Coded) MaskID() int64 { return Mask }

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
		id, known := c.ids[text[:end]]
		if !known {
			id = Unknown
		}
		ids = append(ids, id)
		text = text[end:]
	}
	return ids
}

// Decode writes token ids as text, one piece after the other.
func (c *Coded) Decode(ids []int64) string { return decode(c.pieces, ids) }
