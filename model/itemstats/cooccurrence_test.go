package itemstats

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

func TestWindowCount(t *testing.T) {
	histories := [][]int{{0, 1, 2, 3}, {1, 2, 1}, {4}}
	for _, test := range []struct {
		name   string
		window window
		want   []string // by item: the other items and their counts
	}{
		{"symmetric", window{following: []uint32{10, 4}, preceding: []uint32{10, 4}}, []string{"1:10 2:4", "0:10 1:8 2:30 3:4", "0:4 1:30 3:10", "1:4 2:10", ""}},
		{"asymmetric", window{following: []uint32{8}, preceding: []uint32{1}}, []string{"1:8", "0:1 2:17", "1:10 3:8", "2:1", ""}},
		{"following only", window{following: []uint32{8}}, []string{"1:8", "2:16", "1:8 3:8", "", ""}},
		{"nothing", window{}, []string{"", "", "", "", ""}},
	} {
		for range 2 { // the order of the histories does not matter
			slices.Reverse(histories)
			rows := test.window.count(histories, 5)
			for item, want := range test.want {
				got := ""
				for _, p := range rows[item] {
					got += fmt.Sprintf(" %d:%d", p.item(), p.count())
				}
				if got != "" {
					got = got[1:]
				}
				if got != want {
					t.Errorf("%s: item %d co-occurs with %q, want %q", test.name, item, got, want)
				}
			}
		}
	}
}

// An overflow of a count must not change the item.
func TestCountsSaturate(t *testing.T) {
	const most = math.MaxUint32
	rows := window{following: []uint32{most/2 + 1}}.count([][]int{{0, 1}, {0, 1}, {0, 1}, {0, 2}}, 3)
	if got := rows[0]; len(got) != 2 || got[0].item() != 1 || got[0].count() != most || got[1].item() != 2 || got[1].count() != most/2+1 {
		t.Errorf("item 0 co-occurs with %v, want item 1 with %d and item 2 with %d", got, most, most/2+1)
	}
}
