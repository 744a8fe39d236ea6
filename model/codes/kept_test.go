package codes

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestKeptCodesStayAndNewItemsJoinTheirGroup(t *testing.T) {
	const groups, old = 6, 900
	rng := rand.New(rand.NewPCG(4, 4))
	histories := randomHistories(rng, 4_500, old, groups)
	before := learn(t, histories, old, nil)

	// Item old+n comes to group n, item old+groups to none.
	for n := range groups {
		for range 20 {
			with := n + groups*rng.IntN(old/groups)
			histories = append(histories, []int{with, old + n})
		}
	}
	kept := append(slices.Clone(before), make([]Code, groups+1)...)
	after := learn(t, histories, len(kept), kept)
	firsts := make([]map[int]bool, groups)
	for n := range firsts {
		firsts[n] = make(map[int]bool)
	}
	for item, code := range before {
		if !slices.Equal(after[item], code) {
			t.Fatalf("item %d went from code %v to %v, which it was to keep", item, code, after[item])
		}
		firsts[item%groups][code[0]] = true
	}
	for n := range groups {
		if code := after[old+n]; !firsts[n][code[0]] {
			t.Errorf("the new item of group %d has the code %v: no item of the group starts like that", n, code)
		}
	}
}

// everyCode lists all codes of two numbers.
func everyCode() []Code {
	var codes []Code
	for a := range Size {
		for b := range Size {
			codes = append(codes, Code{a, b})
		}
	}
	return codes
}

func TestANewItemGetsTheLastFreeCode(t *testing.T) {
	kept := everyCode()
	free := kept[4_321]
	kept[4_321] = nil
	for _, histories := range [][][]int{nil, {{4_321, 65_000, 4_300}}} {
		if code := learn(t, histories, len(kept), kept)[4_321]; !slices.Equal(code, free) {
			t.Errorf("histories %v: the new item has the code %v, want %v, the only free one", histories, code, free)
		}
	}
}

func TestAFullPrefixOpensAnUnusedOne(t *testing.T) {
	kept := slices.Concat(everyCode()[:Size], []Code{nil}) // all codes that start with 0
	if code := learn(t, [][]int{{3, Size}}, len(kept), kept)[Size]; code[0] == 0 {
		t.Errorf("the new item has the code %v, whose first number was full", code)
	}
}

func TestNothingKeptIsLearnedAnew(t *testing.T) {
	histories := randomHistories(rand.New(rand.NewPCG(5, 5)), 500, 100, 2)
	anew := learn(t, histories, 100, nil)
	for item, code := range learn(t, histories, 100, make([]Code, 100)) {
		if !slices.Equal(code, anew[item]) {
			t.Fatalf("item %d has the code %v, want %v as without kept codes", item, code, anew[item])
		}
	}
}

func TestLearnRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		kept []Code
		want string
	}{
		{"more items than codes", append(everyCode(), nil), "65537 items do not fit into the 65536 codes"},
		{"a code too short for any catalog", []Code{nil, {3}}, "item 1 keeps the code [3] of 1 numbers, want 2"},
		{"a code without numbers", []Code{{}}, "item 0 keeps the code [] of 0 numbers, want 2"},
		{"codes of two lengths", []Code{{1, 2, 3}, nil, {1, 2}}, "item 2 keeps the code [1 2] of 2 numbers, want 3"},
		{"a number too large", []Code{{1, 2}, {0, 256}}, "item 1 keeps the code [0 256], whose numbers"},
		{"a negative number", []Code{{-1, 2}}, "item 0 keeps the code [-1 2], whose numbers"},
		{"a code twice", []Code{{1, 2}, nil, {0, 0}, {1, 2}}, "item 3 keeps the code [1 2], which item 0 keeps too"},
	} {
		if _, err := Learn(nil, len(c.kept), c.kept, 1); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
	if _, err := Learn(nil, 2, []Code{nil}, 1); err == nil || !strings.Contains(err.Error(), "1 kept codes for 2 items") {
		t.Errorf("too few kept codes: error %v, want one that says how many there are", err)
	}
}
