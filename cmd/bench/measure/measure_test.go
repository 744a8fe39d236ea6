package measure

import (
	"slices"
	"testing"
)

func TestMedian(t *testing.T) {
	if got := Median([]float64{4, 1, 3, 2}); got != 2.5 {
		t.Errorf("median of 1 to 4 is %v, want 2.5", got)
	}
}

func TestSizes(t *testing.T) {
	if got, err := Sizes("batches", "1,4,16"); err != nil || !slices.Equal(got, []int{1, 4, 16}) {
		t.Errorf("got %v (error %v), want 1, 4 and 16", got, err)
	}
	for _, list := range []string{"", "4,", "0", "-1", "x"} {
		if got, err := Sizes("batches", list); err == nil {
			t.Errorf("%q: got %v, want an error", list, got)
		}
	}
}
