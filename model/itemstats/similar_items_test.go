package itemstats

import (
	"reflect"
	"slices"
	"testing"
)

func TestSimilarItems(t *testing.T) {
	c := ItemCodes{
		Codes:      []Code{{0, 0}, {0, 1}, {0, 2}, {0, 3}, {1, 0}, {0, 4}, {2, 0}, {0, 5}},
		Embeddings: [][]float32{{1, 0}, {.8, .6}, {0, 1}, {.96, .28}, {1, 0}, nil, {0, 1}, {.6, .8}},
	}
	known := []bool{true, true, true, false, true, false, false, false}
	want := [][]int{
		0: {1, 2},
		1: {0, 2},
		2: {1, 0},
		3: {0, 1}, // item 4 is as similar, but has another first number
		7: {1, 2},
	}
	if got := c.SimilarItems(known, 2); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v: none for an item without an embedding, or if no known item has its first number", got, want)
	}
}

// The number of compared items is bounded, however many have the same first number.
func TestSimilarItemsComparesFewItems(t *testing.T) {
	var c ItemCodes
	const items = 5 * maxDistance
	for item := range items {
		code := Code{0, items - 1 - item} // in another order than the items
		c.Codes, c.Embeddings = append(c.Codes, code), append(c.Embeddings, []float32{float32(1 + item)})
	}
	known := slices.Repeat([]bool{true}, items)
	for item, similar := range c.SimilarItems(known, 1) {
		// Larger items have larger products: the last of those that are compared.
		want := min(items-1, item+maxDistance)
		if want == item {
			want--
		}
		if !slices.Equal(similar, []int{want}) {
			t.Fatalf("the item similar to item %d is %v, want %d", item, similar, want)
		}
	}
}
