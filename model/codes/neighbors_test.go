package codes

import (
	"reflect"
	"testing"
)

func TestNeighborsAreTheKnownItemsMostAlike(t *testing.T) {
	l := Learned{
		Codes:   []Code{{0, 0}, {0, 1}, {0, 2}, {0, 3}, {1, 0}, {0, 4}, {2, 0}, {0, 5}},
		Vectors: [][]float32{{1, 0}, {.8, .6}, {0, 1}, {.96, .28}, {1, 0}, nil, {0, 1}, {.6, .8}},
	}
	known := []bool{true, true, true, false, true, false, false, false}
	want := [][]int{
		3: {0, 1}, // item 4 is as near, but has another leading number
		7: {1, 2},
	}
	if got := l.Neighbors(known, 2); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v: none for known items, for those without a vector, and where no known one leads alike", got, want)
	}
}
