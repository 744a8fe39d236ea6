package codes

import (
	"reflect"
	"slices"
	"testing"
)

func TestNeighborsAreTheKnownItemsMostAlike(t *testing.T) {
	l := Learned{
		Codes:   []Code{{0, 0}, {0, 1}, {0, 2}, {0, 3}, {1, 0}, {0, 4}, {2, 0}, {0, 5}},
		Vectors: [][]float32{{1, 0}, {.8, .6}, {0, 1}, {.96, .28}, {1, 0}, nil, {0, 1}, {.6, .8}},
	}
	known := []bool{true, true, true, false, true, false, false, false}
	want := [][]int{
		0: {1, 2},
		1: {0, 2},
		2: {1, 0},
		3: {0, 1}, // item 4 is as near, but has another leading number
		7: {1, 2},
	}
	if got := l.Neighbors(known, 2); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v: none for an item without a vector, and where no known one leads alike", got, want)
	}
}

// However many items lead alike, few are compared.
func TestNeighborsStandBesideEachOther(t *testing.T) {
	var l Learned
	const items = 5 * mostBeside
	for item := range items {
		code := Code{0, items - 1 - item} // in another order than the items
		l.Codes, l.Vectors = append(l.Codes, code), append(l.Vectors, []float32{float32(1 + item)})
	}
	known := slices.Repeat([]bool{true}, items)
	for item, neighbors := range l.Neighbors(known, 1) {
		// The larger, the more alike: the farthest of those that are looked at, in that direction.
		want := min(items-1, item+mostBeside)
		if want == item {
			want--
		}
		if !slices.Equal(neighbors, []int{want}) {
			t.Fatalf("the neighbor of item %d is %v, want %d", item, neighbors, want)
		}
	}
}
