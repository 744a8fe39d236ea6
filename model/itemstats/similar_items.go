package itemstats

import (
	"cmp"
	"slices"

	"genrec/pkg/parallel"
)

// maxDistance bounds the search for similar items: so many items on either side, in the order of
// the codes, are compared.
const maxDistance = 256

// SimilarItems returns for each item the known items with the most similar embeddings, at most
// limit, most similar first. The search is approximate: it compares items with the same first number
// whose codes are close in their order, so that the time grows linearly with the items.
func (c ItemCodes) SimilarItems(known []bool, limit int) [][]int {
	byFirst := make([][]int, CodebookSize) // known items by the first number of their code
	for item, code := range c.Codes {
		if known[item] && c.Embeddings[item] != nil {
			byFirst[code[0]] = append(byFirst[code[0]], item)
		}
	}
	for _, items := range byFirst {
		slices.SortStableFunc(items, c.compareCodes)
	}
	similar := make([][]int, len(c.Codes))
	parallel.ForBlocks(len(similar), func(from, to int) {
		for item := from; item < to; item++ {
			if c.Embeddings[item] != nil {
				similar[item] = c.mostSimilar(item, c.adjacent(item, byFirst[c.Codes[item][0]]), limit)
			}
		}
	})
	return similar
}

func (c ItemCodes) compareCodes(a, b int) int { return slices.Compare(c.Codes[a], c.Codes[b]) }

// adjacent returns those of the items, which are in the order of their codes, that are around one.
func (c ItemCodes) adjacent(item int, items []int) []int {
	at, _ := slices.BinarySearchFunc(items, item, c.compareCodes)
	return items[max(0, at-maxDistance):min(len(items), at+maxDistance)]
}

func (c ItemCodes) mostSimilar(item int, candidates []int, limit int) []int {
	type scored struct {
		item   int
		cosine float32
	}
	embedding := c.Embeddings[item]
	var best []scored // at most limit, most similar first
	for _, other := range candidates {
		if other == item {
			continue
		}
		s := scored{item: other}
		for d, x := range c.Embeddings[other] {
			s.cosine += x * embedding[d]
		}
		if len(best) == limit && s.cosine < best[limit-1].cosine {
			continue
		}
		at, _ := slices.BinarySearchFunc(best, s, func(a, b scored) int {
			return cmp.Or(cmp.Compare(b.cosine, a.cosine), cmp.Compare(a.item, b.item))
		})
		if at < limit {
			best = slices.Insert(best[:min(len(best), limit-1)], at, s)
		}
	}
	var items []int
	for _, s := range best {
		items = append(items, s.item)
	}
	return items
}
