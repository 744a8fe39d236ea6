package itemstats

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// learn learns codes and fails the test unless they are valid.
func learn(t *testing.T, histories [][]int, items int, fixed []Code) []Code {
	t.Helper()
	learned, err := LearnCodes(histories, items, fixed, 1)
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
			t.Fatalf("of %d items, item %d has the code %v and item 0 %v: want equal lengths", items, item, code, codes[0])
		}
		if slices.Min(code) < 0 || slices.Max(code) >= CodebookSize {
			t.Fatalf("of %d items, item %d has the code %v: its numbers must be in [0, %d)", items, item, code, CodebookSize)
		}
		key := fmt.Sprint(code)
		if other, taken := owner[key]; taken {
			t.Fatalf("of %d items, items %d and %d have the code %v", items, other, item, code)
		}
		owner[key] = item
	}
	return codes
}

// randomHistories uses the items 0..used-1; items of different groups never co-occur.
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

func TestLearnCodesAreUniqueAndOfEqualLength(t *testing.T) {
	for _, c := range []struct{ items, used, levels int }{
		{0, 0, 0},
		{1, 0, 2},
		{1, 1, 2},
		{2, 2, 2},
		{97, 97, 2},
		{255, 255, 2},
		{256, 256, 2},
		{257, 200, 2},
		{43_691, 100, 3},
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

func TestCodeLevelsLeaveHeadroom(t *testing.T) {
	for items, want := range map[int]int{0: 2, 12_101: 2, 43_690: 2, 43_691: 3, 11_184_810: 3, 11_184_811: 4} {
		if levels, err := codeLevels(items, nil, nil); err != nil || levels != want {
			t.Errorf("the codes of %d items have %d numbers (error %v), want %d", items, levels, err, want)
		}
	}
}

func TestUnrelatedItemsShareNoFirstNumber(t *testing.T) {
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

func TestLearnCodesIsDeterministic(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	histories := randomHistories(rng, 2_000, 600, 3)
	first := learn(t, histories, 700, nil)

	rng.Shuffle(len(histories), func(i, j int) { histories[i], histories[j] = histories[j], histories[i] })
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, cores := range []int{1, 3} {
		runtime.GOMAXPROCS(cores)
		for item, code := range learn(t, histories, 700, nil) {
			if !slices.Equal(code, first[item]) {
				t.Fatalf("item %d went from code %v to %v when the histories were reordered, on %d cores", item, first[item], code, cores)
			}
		}
	}
}

func TestItemsWithoutCooccurrenceSpread(t *testing.T) {
	// An item that is alone in its history, or repeated, co-occurs with no other.
	codes := learn(t, [][]int{{4}, {7, 7, 7}, nil}, 2*CodebookSize, nil)
	counts := make([]int, CodebookSize)
	for _, code := range codes {
		counts[code[0]]++
	}
	if slices.Min(counts) != 2 || slices.Max(counts) != 2 {
		t.Errorf("the first numbers are used between %d and %d times, want each twice", slices.Min(counts), slices.Max(counts))
	}
}

func TestFixedCodesStayAndNewItemsJoinTheirGroup(t *testing.T) {
	const groups, old = 6, 900
	rng := rand.New(rand.NewPCG(4, 4))
	histories := randomHistories(rng, 4_500, old, groups)
	before := learn(t, histories, old, nil)

	// The new item old+n belongs to group n, old+groups to none.
	for n := range groups {
		for range 20 {
			with := n + groups*rng.IntN(old/groups)
			histories = append(histories, []int{with, old + n})
		}
	}
	fixed := append(slices.Clone(before), make([]Code, groups+1)...)
	after := learn(t, histories, len(fixed), fixed)
	firsts := make([]map[int]bool, groups)
	for n := range firsts {
		firsts[n] = make(map[int]bool)
	}
	for item, code := range before {
		if !slices.Equal(after[item], code) {
			t.Fatalf("item %d went from code %v to %v, but it was fixed", item, code, after[item])
		}
		firsts[item%groups][code[0]] = true
	}
	for n := range groups {
		if code := after[old+n]; !firsts[n][code[0]] {
			t.Errorf("the new item of group %d has the code %v: no other item of the group has that first number", n, code)
		}
	}
}

// everyCode lists all codes of two numbers.
func everyCode() []Code {
	var codes []Code
	for a := range CodebookSize {
		for b := range CodebookSize {
			codes = append(codes, Code{a, b})
		}
	}
	return codes
}

func TestNewItemGetsTheLastFreeCode(t *testing.T) {
	fixed := everyCode()
	free := fixed[4_321]
	fixed[4_321] = nil
	for _, histories := range [][][]int{nil, {{4_321, 65_000, 4_300}}} {
		if code := learn(t, histories, len(fixed), fixed)[4_321]; !slices.Equal(code, free) {
			t.Errorf("histories %v: the new item has the code %v, want %v, the only free one", histories, code, free)
		}
	}
}

func TestFullPrefixOpensAnUnusedOne(t *testing.T) {
	fixed := slices.Concat(everyCode()[:CodebookSize], []Code{nil}) // all codes that start with 0
	if code := learn(t, [][]int{{3, CodebookSize}}, len(fixed), fixed)[CodebookSize]; code[0] == 0 {
		t.Errorf("the new item has the code %v, whose first number was full", code)
	}
}

func TestLearnCodesWithoutFixedCodes(t *testing.T) {
	histories := randomHistories(rand.New(rand.NewPCG(5, 5)), 500, 100, 2)
	want := learn(t, histories, 100, nil)
	for item, code := range learn(t, histories, 100, make([]Code, 100)) {
		if !slices.Equal(code, want[item]) {
			t.Fatalf("item %d has the code %v, want %v as with nil", item, code, want[item])
		}
	}
}

func TestLearnCodesRejectsInvalidFixedCodes(t *testing.T) {
	for _, c := range []struct {
		name  string
		fixed []Code
		want  string
	}{
		{"more items than codes", append(everyCode(), nil), "65537 items do not fit into the 65536 codes"},
		{"a code too short for any catalog", []Code{nil, {3}}, "item 1 has the code [3] of 1 numbers, want 2"},
		{"a code without numbers", []Code{{}}, "item 0 has the code [] of 0 numbers, want 2"},
		{"codes of two lengths", []Code{{1, 2, 3}, nil, {1, 2}}, "item 2 has the code [1 2] of 2 numbers, want 3"},
		{"a number too large", []Code{{1, 2}, {0, 256}}, "item 1 has the code [0 256], whose numbers"},
		{"a negative number", []Code{{-1, 2}}, "item 0 has the code [-1 2], whose numbers"},
		{"a code twice", []Code{{1, 2}, nil, {0, 0}, {1, 2}}, "items 0 and 3 have the same code [1 2]"},
	} {
		if _, err := LearnCodes(nil, len(c.fixed), c.fixed, 1); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
	if _, err := LearnCodes(nil, 2, []Code{nil}, 1); err == nil || !strings.Contains(err.Error(), "1 fixed codes for 2 items") {
		t.Errorf("a fixed code for 1 of 2 items: error %v, want one with both numbers", err)
	}
}
