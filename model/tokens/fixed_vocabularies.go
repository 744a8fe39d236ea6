package tokens

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// fixedVocabulary is a list of tokens in the order of their ids. It is the common part of Digits and
// Codes.
type fixedVocabulary struct {
	tokens []string
	ids    map[string]int64
}

func newFixedVocabulary(tokens []string) fixedVocabulary {
	v := fixedVocabulary{tokens: tokens, ids: make(map[string]int64, len(tokens))}
	for id, token := range tokens {
		v.ids[token] = int64(id)
	}
	return v
}

// Save writes a JSON object of tokens and ids, in the format of BART's vocab.json.
func (v fixedVocabulary) Save(dir string) error {
	data, err := json.MarshalIndent(v.ids, "", " ")
	if err != nil {
		return fmt.Errorf("encode vocabulary: %w", err)
	}
	return writeFile(dir, VocabularyFile, append(data, '\n'))
}

// Size is the number of tokens in the vocabulary.
func (v fixedVocabulary) Size() int { return len(v.tokens) }

// MaskID is the id of the mask token.
func (v fixedVocabulary) MaskID() int64 { return Mask }

// Decode concatenates the tokens.
func (v fixedVocabulary) Decode(ids []int64) string { return decode(v.tokens, ids) }

// id is that of a token, or Unknown.
func (v fixedVocabulary) id(token string) int64 {
	if id, known := v.ids[token]; known {
		return id
	}
	return Unknown
}

// loadFixed reads the vocabulary of Digits or Codes, and rejects one with other tokens or ids.
func loadFixed(dir string) (Tokenizer, error) {
	path := filepath.Join(dir, VocabularyFile)
	data, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("read vocabulary: %w", err)
	}
	var ids map[string]int64
	if err := json.Unmarshal(data, &ids); err != nil {
		return nil, fmt.Errorf("decode vocabulary %s: %w", path, err)
	}
	if d := NewDigits(); maps.Equal(ids, d.ids) {
		return d, nil
	}
	if c := codesWith(ids); c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("vocabulary %s is neither that of digits nor that of item codes, and for BART's %s is missing: retrain with this release",
		path, MergesFile)
}

// Digits is the tokenizer for dense numbers. Its vocabulary has the special tokens, the words `user`,
// `item` and `_`, pairs of digits, and single digits for the last one of an odd number: `item_12345`
// is item, _, 12, 34, 5, as in the paper's example for BART's vocabulary (section 4.1).
type Digits struct{ fixedVocabulary }

// NewDigits returns the tokenizer. It has no parameters.
func NewDigits() *Digits {
	tokens := append(slices.Clone(specials[:]), "user", "item", "_")
	for d := range 10 {
		tokens = append(tokens, fmt.Sprintf("%d", d))
	}
	for d := range 100 {
		tokens = append(tokens, fmt.Sprintf("%02d", d))
	}
	return &Digits{newFixedVocabulary(tokens)}
}

// Encode splits `word_digits` into tokens. A part that the vocabulary lacks becomes the unknown token.
func (d *Digits) Encode(text string) []int64 {
	word, digits, found := strings.Cut(text, "_")
	ids := []int64{d.id(word)}
	if !found {
		return ids
	}
	ids = append(ids, d.id("_"))
	for len(digits) > 0 {
		n := min(2, len(digits))
		ids = append(ids, d.id(digits[:n]))
		digits = digits[n:]
	}
	return ids
}

// Codes is the tokenizer for item codes. Its vocabulary has the special tokens, the word `user`, and
// a token for each number of each level, with a letter for the level: `a7b201` is a7, b201.
type Codes struct{ fixedVocabulary }

// maxLevels is the number of letters that name levels.
const maxLevels = 'z' - 'a' + 1

// NewCodes returns the tokenizer for codes of so many levels, each with the numbers 0 to size-1.
func NewCodes(levels, size int) (*Codes, error) {
	if levels < 1 || levels > maxLevels || size < 1 {
		return nil, fmt.Errorf("vocabulary of item codes with %d levels of %d numbers: want 1 to %d levels of at least 1", levels, size, maxLevels)
	}
	tokens := append(specials[:len(specials):len(specials)], "user")
	for level := range levels {
		for number := range size {
			tokens = append(tokens, fmt.Sprintf("%c%d", 'a'+level, number))
		}
	}
	return &Codes{newFixedVocabulary(tokens)}, nil
}

// codesWith returns the tokenizer that has these ids, or nil if none does.
func codesWith(ids map[string]int64) *Codes {
	levels, numbers := 0, len(ids)-len(specials)-1
	for levels < maxLevels {
		if _, found := ids[fmt.Sprintf("%c0", 'a'+levels)]; !found {
			break
		}
		levels++
	}
	if levels == 0 || numbers < levels {
		return nil
	}
	c, err := NewCodes(levels, numbers/levels)
	if err != nil || !maps.Equal(ids, c.ids) {
		return nil
	}
	return c
}

// Encode splits a code before each letter, unless the whole text is a token. A part that the
// vocabulary lacks becomes the unknown token.
func (c *Codes) Encode(text string) []int64 {
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
