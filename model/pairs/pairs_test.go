package pairs

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

func TestCount(t *testing.T) {
	histories := [][]int{{0, 1, 2, 3}, {1, 2, 1}, {4}}
	for _, test := range []struct {
		name    string
		weights Weights
		want    []string // by item: the other one and what it counts for
	}{
		{"both ways alike", Weights{After: []uint32{10, 4}, Before: []uint32{10, 4}}, []string{"1:10 2:4", "0:10 1:8 2:30 3:4", "0:4 1:30 3:10", "1:4 2:10", ""}},
		{"rather what comes after", Weights{After: []uint32{8}, Before: []uint32{1}}, []string{"1:8", "0:1 2:17", "1:10 3:8", "2:1", ""}},
		{"what comes after alone", Weights{After: []uint32{8}}, []string{"1:8", "2:16", "1:8 3:8", "", ""}},
		{"nothing", Weights{}, []string{"", "", "", "", ""}},
	} {
		for range 2 { // in another order, to the same sums
			slices.Reverse(histories)
			near := Count(histories, 5, test.weights)
			for item, want := range test.want {
				got := ""
				for _, p := range near[item] {
					got += fmt.Sprintf(" %d:%d", p.Item(), p.Count())
				}
				if got != "" {
					got = got[1:]
				}
				if got != want {
					t.Errorf("%s: beside item %d stand %q, want %q", test.name, item, got, want)
				}
			}
		}
	}
}

// A pair that is seen very often must not run over into the number of the item.
func TestCountsEndAtTheLargest(t *testing.T) {
	const most = math.MaxUint32
	near := Count([][]int{{0, 1}, {0, 1}, {0, 1}, {0, 2}}, 3, Weights{After: []uint32{most/2 + 1}})
	if got := near[0]; len(got) != 2 || got[0].Item() != 1 || got[0].Count() != most || got[1].Item() != 2 || got[1].Count() != most/2+1 {
		t.Errorf("beside item 0 stand %v, want item 1 with %d and item 2 with %d", got, most, most/2+1)
	}
}
