package codes

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
)

// learn fails the test when the codes are not what every catalog must get.
func learn(t *testing.T, histories [][]int, items int, kept []Code) []Code {
	t.Helper()
	learned, err := Learn(histories, items, kept, 1)
	if err != nil {
		t.Fatalf("%d items: %v", items, err)
	}
	codes := learned.Codes
	if len(codes) != items {
		t.Fatalf("%d codes for %d items", len(codes), items)
	}
	owner := make(map[string]int, items)
	for item, code := range codes {
		if len(code) != len(codes[0]) {
			t.Fatalf("of %d items, item %d has the code %v and item 0 %v: all must be equally long", items, item, code, codes[0])
		}
		if slices.Min(code) < 0 || slices.Max(code) >= Size {
			t.Fatalf("of %d items, item %d has the code %v: its numbers must be in [0, %d)", items, item, code, Size)
		}
		key := fmt.Sprint(code)
		if other, taken := owner[key]; taken {
			t.Fatalf("of %d items, items %d and %d have the code %v", items, other, item, code)
		}
		owner[key] = item
	}
	return codes
}

// randomHistories uses the items 0..used-1, within groups that never meet.
func randomHistories(rng *rand.Rand, users, used, groups int) [][]int {
	histories := make([][]int, users)
	for u := range histories {
		for range 3 + rng.IntN(8) {
			item := rng.IntN(used)
			histories[u] = append(histories[u], item-item%groups+u%groups)
		}
	}
	return histories
}

func TestLearnGivesUniqueCodesOfEqualLength(t *testing.T) {
	for _, c := range []struct{ items, used, levels int }{
		{0, 0, 0},
		{1, 0, 2},
		{1, 1, 2},
		{2, 2, 2},
		{97, 97, 2},
		{255, 255, 2},
		{256, 256, 2},
		{257, 200, 2},
		{32_769, 100, 3},
	} {
		rng := rand.New(rand.NewPCG(1, uint64(c.items)))
		var histories [][]int
		if c.used > 0 {
			histories = randomHistories(rng, 2*c.used, c.used, 1)
		}
		codes := learn(t, histories, c.items, nil)
		if len(codes) > 0 && len(codes[0]) != c.levels {
			t.Errorf("the codes of %d items have %d numbers, want %d", c.items, len(codes[0]), c.levels)
		}
	}
}

func TestLengthLeavesHeadroom(t *testing.T) {
	for items, want := range map[int]int{0: 2, 12_101: 2, 32_768: 2, 32_769: 3, 8_388_608: 3, 8_388_609: 4} {
		if levels, err := length(items, nil, nil); err != nil || levels != want {
			t.Errorf("the codes of %d items have %d numbers (error %v), want %d", items, levels, err, want)
		}
	}
}

func TestItemsThatNeverMeetShareNoFirstNumber(t *testing.T) {
	const groups, items = 2, 700
	histories := randomHistories(rand.New(rand.NewPCG(2, 2)), 5*items, items, groups)
	group := make(map[int]int) // by first number
	for item, code := range learn(t, histories, items, nil) {
		if other, used := group[code[0]]; used && other != item%groups {
			t.Errorf("items of both groups have the first number %d", code[0])
		}
		group[code[0]] = item % groups
	}
	if len(group) > items/2 {
		t.Errorf("%d items have %d first numbers: items used together must share them", items, len(group))
	}
}

func TestLearnDependsOnNeitherOrderNorCores(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	histories := randomHistories(rng, 2_000, 600, 3)
	first := learn(t, histories, 700, nil)

	rng.Shuffle(len(histories), func(i, j int) { histories[i], histories[j] = histories[j], histories[i] })
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, cores := range []int{1, 3} {
		runtime.GOMAXPROCS(cores)
		for item, code := range learn(t, histories, 700, nil) {
			if !slices.Equal(code, first[item]) {
				t.Fatalf("item %d went from code %v to %v when the histories came in another order, on %d cores", item, first[item], code, cores)
			}
		}
	}
}

func TestItemsWithoutLinksSpread(t *testing.T) {
	// One item in a history, or one item again and again, is used with no other.
	codes := learn(t, [][]int{{4}, {7, 7, 7}, nil}, 2*Size, nil)
	counts := make([]int, Size)
	for _, code := range codes {
		counts[code[0]]++
	}
	if slices.Min(counts) != 2 || slices.Max(counts) != 2 {
		t.Errorf("the first numbers are used between %d and %d times, want each twice", slices.Min(counts), slices.Max(counts))
	}
}
