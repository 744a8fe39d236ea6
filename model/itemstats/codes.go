package itemstats

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// Code is the code of an item: one number in [0, CodebookSize) for each level, the path to the item in a
// tree. Such codes are called semantic IDs in TIGER (Rajput et al. 2023, arXiv:2305.05065), which derives
// them from texts with a network; here they are learned from co-occurrence only.
type Code []int

// String writes the numbers, each after the letter of its level: `a7b201`.
func (c Code) String() string {
	var b strings.Builder
	for level, number := range c {
		fmt.Fprintf(&b, "%c%d", 'a'+level, number)
	}
	return b.String()
}

const (
	// CodebookSize is the number of different values at each level of a code.
	CodebookSize = 256
	// minLevels lets even items of a small catalog share the first number.
	minLevels = 2
	// maxFill is the share of all codes that are given out at first, so that a catalog can grow before
	// all codes have to change.
	maxFill = 2. / 3
)

// ErrNoFreeCode is returned by LearnCodes if the items do not fit into codes of the length of the fixed ones:
// all codes have to be learned anew.
var ErrNoFreeCode = errors.New("no free code")

// ItemCodes are the codes and embeddings of the items 0..items-1.
type ItemCodes struct {
	// Codes are unique and of equal length.
	Codes []Code
	// Embeddings are unit vectors whose cosine is large for items used together. Items that do not
	// co-occur with any other item have none (nil).
	Embeddings [][]float32
}

// LearnCodes gives each of the items 0..items-1 a code. fixed holds the codes of items that must
// not change, and nil for the other items, which are placed among those; a nil fixed is the same
// as one of nil codes.
//
// Memory grows linearly with the items and the co-occurring pairs, and time by a factor log(items) more.
func LearnCodes(histories [][]int, items int, fixed []Code, seed int64) (ItemCodes, error) {
	fixedItems, err := validateFixed(fixed, items)
	if err != nil {
		return ItemCodes{}, err
	}
	levels, err := codeLevels(items, fixed, fixedItems)
	if err != nil {
		return ItemCodes{}, err
	}
	rng := rand.New(rand.NewPCG(uint64(seed), 0))
	similarity := newSimilarityMatrix(histories, items)
	rows, err := embed(similarity, rng)
	if err != nil {
		return ItemCodes{}, err
	}
	embeddings, rounded := make([][]float64, items), make([][]float32, items)
	for r, item := range similarity.items {
		embeddings[item] = rows.RawRowView(r)
		for _, x := range embeddings[item] {
			rounded[item] = append(rounded[item], float32(x))
		}
	}

	codes := make([]Code, items)
	used := newCodeTree(levels)
	for _, item := range fixedItems {
		codes[item] = fixed[item]
		used.add(fixed[item], embeddings[item])
	}
	if len(fixedItems) == 0 {
		for r, code := range clusterRows(rows, levels) {
			codes[similarity.items[r]] = code
			used.add(code, nil)
		}
	}
	for _, item := range similarity.items {
		if codes[item] == nil {
			codes[item] = used.place(embeddings[item])
		}
	}
	for item, code := range codes { // items without co-occurrence get any free code
		if code == nil {
			codes[item] = used.place(nil)
		}
	}
	return ItemCodes{codes, rounded}, nil
}

// codeCount is the number of codes with so many levels. Beyond seven levels it would overflow;
// seven suffice for any catalog.
func codeCount(levels int) int {
	codes := 1
	for range min(levels, 7) {
		codes *= CodebookSize
	}
	return codes
}

// codeLevels is the length of the codes: that of the fixed ones, otherwise the smallest with
// room to grow.
func codeLevels(items int, fixed []Code, fixedItems []int) (int, error) {
	if len(fixedItems) > 0 {
		levels := len(fixed[fixedItems[0]])
		if items > codeCount(levels) {
			return 0, fmt.Errorf("%d items do not fit into the %d codes of the previous length %d: %w", items, codeCount(levels), levels, ErrNoFreeCode)
		}
		return levels, nil
	}
	levels := minLevels
	for maxFill*float64(codeCount(levels)) < float64(items) {
		levels++
	}
	return levels, nil
}

// ValidateCodes checks codes from a file: each item must have one, all of equal length and unique.
func ValidateCodes(codes []Code, items int) error {
	if len(codes) != items {
		return fmt.Errorf("%d codes for %d items", len(codes), items)
	}
	valid, err := validateFixed(codes, items)
	if err == nil && len(valid) < items {
		err = fmt.Errorf("%d of %d items have no code", items-len(valid), items)
	}
	return err
}

// validateFixed lists the items with a fixed code, ascending, if those codes are in range, unique
// and of equal length.
func validateFixed(fixed []Code, items int) (fixedItems []int, err error) {
	if fixed != nil && len(fixed) != items {
		return nil, fmt.Errorf("%d fixed codes for %d items, want one for each item, nil for a new one", len(fixed), items)
	}
	levels := minLevels
	for item, code := range fixed {
		if code == nil {
			continue
		}
		if len(fixedItems) == 0 {
			levels = max(levels, len(code))
		}
		if len(code) != levels {
			return nil, fmt.Errorf("item %d has the code %v of %d numbers, want %d", item, []int(code), len(code), levels)
		}
		if slices.Min(code) < 0 || slices.Max(code) >= CodebookSize {
			return nil, fmt.Errorf("item %d has the code %v, whose numbers are not all in [0, %d)", item, []int(code), CodebookSize)
		}
		fixedItems = append(fixedItems, item)
	}

	sorted := slices.Clone(fixedItems)
	slices.SortStableFunc(sorted, func(a, b int) int { return slices.Compare(fixed[a], fixed[b]) })
	for i := 1; i < len(sorted); i++ {
		if a, b := sorted[i-1], sorted[i]; slices.Equal(fixed[a], fixed[b]) {
			return nil, fmt.Errorf("items %d and %d have the same code %v", a, b, []int(fixed[b]))
		}
	}
	return fixedItems, nil
}
