package model

import (
	"math"
	"slices"
	"testing"
)

func TestSmoothMovesItemsToTheMiddleOfTheirNeighbors(t *testing.T) {
	ownThread(t)
	m, err := New(testConfig(20, 0, 4), 1, testDevice(t))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Drop()
	before := rows(m, itemsName)
	const share = 0.25
	if err := m.SmoothItems([][]int{1: {2, 3}, 2: {1}, 4: nil}, share); err != nil {
		t.Fatal(err)
	}
	after := rows(m, itemsName)
	for _, n := range []int{0, 3, 4} {
		if !slices.Equal(after[n], before[n]) {
			t.Errorf("item %d has no neighbors, but moved", n)
		}
	}
	sum := make([]float64, len(before[2]))
	for d := range sum {
		sum[d] = float64(before[2][d]) + float64(before[3][d])
	}
	length := 0.0
	for _, x := range sum {
		length += x * x
	}
	// As long as the neighbors are on average.
	stretch := (norm(before[2]) + norm(before[3])) / 2 / math.Sqrt(length)
	for d, x := range after[1] {
		if want := (1-share)*float64(before[1][d]) + share*stretch*sum[d]; math.Abs(float64(x)-want) > 1e-6 {
			t.Fatalf("element %d of item 1 is %.7f, want %.7f", d, x, want)
		}
	}
	// Its neighbor's place is that of before, though it moved, too.
	for d, x := range after[2] {
		if want := (1-share)*before[2][d] + share*before[1][d]; math.Abs(float64(x-want)) > 1e-6 {
			t.Fatalf("element %d of item 2 is %.7f, want %.7f", d, x, want)
		}
	}
}
