package catalog

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// TextFormat is the way in which ids are written as text for the tokenizer.
type TextFormat string

// The text formats. Their values are stored in catalogs and recipes.
const (
	// Codes writes an item as its learned code, `a7b201`, and every user as `user`: users differ by
	// their embeddings only.
	Codes TextFormat = "codes"
	// Numbered writes the index, padded with zeros to equal length: `item_01234`.
	Numbered TextFormat = "walk"
	// Literal writes the shop's id, as the paper does: `item_1234`.
	Literal TextFormat = "literal"
	// Padded writes the shop's id, padded with zeros to equal length. It is for numeric ids and
	// tokenizers that split them into digits.
	Padded TextFormat = "padded"
)

// Valid reports whether f is one of the formats.
func (f TextFormat) Valid() bool {
	return slices.Contains([]TextFormat{Codes, Numbered, Literal, Padded}, f)
}

// TextFormat is the format of the catalog's texts.
func (c *Catalog) TextFormat() TextFormat { return c.format }

// CodeLevels is the length of the item codes, or 0 without the format Codes.
func (c *Catalog) CodeLevels() int {
	if len(c.codes) == 0 {
		return 0
	}
	return len(c.codes[0])
}

// ItemText is the text of the item with an index in 1..Items().
func (c *Catalog) ItemText(index int) string {
	switch c.format {
	case Codes:
		return c.codes[index-1].String()
	case Numbered:
		return "item_" + zeroPadded(strconv.Itoa(index), strconv.Itoa(len(c.items)))
	}
	return "item_" + c.formatID(c.items[index-1], c.longestItem)
}

// UserText is the text of the user with an index in 0..Users().
func (c *Catalog) UserText(index int) string {
	switch {
	case c.format == Codes:
		return "user"
	case c.format == Numbered:
		return "user_" + zeroPadded(strconv.Itoa(index), strconv.Itoa(len(c.users)))
	case index == Unknown:
		return "user_" + c.formatID("0", c.longestUser)
	}
	return "user_" + c.formatID(c.users[index-1], c.longestUser)
}

// DuplicateText finds two items with the same text. Only padding can cause that, as of 7 and 07.
func (c *Catalog) DuplicateText() (a, b string, found bool) {
	if c.format != Padded {
		return "", "", false
	}
	byNumber := make(map[string]string, len(c.items)) // ids by their part without leading zeros
	for _, item := range c.items {
		number := strings.TrimLeft(item, "0")
		if other, exists := byNumber[number]; exists {
			return other, item, true
		}
		byNumber[number] = item
	}
	return "", "", false
}

func (c *Catalog) formatID(id, longest string) string {
	if c.format == Padded {
		return zeroPadded(id, longest)
	}
	return id
}

func zeroPadded(id, longest string) string {
	return strings.Repeat("0", max(0, len(longest)-len(id))) + id
}

func longest(ids []string) string {
	if len(ids) == 0 {
		return ""
	}
	return slices.MaxFunc(ids, func(a, b string) int { return cmp.Compare(len(a), len(b)) })
}
