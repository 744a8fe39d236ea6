package tokens

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// leaves returns the sequence of each leaf.
func leaves(t *Trie) map[int][]int64 {
	found := make(map[int][]int64)
	var descend func(node int64, path []int64)
	descend = func(node int64, path []int64) {
		if node >= int64(t.InnerNodes) {
			found[int(node)-t.InnerNodes] = slices.Clone(path)
			return
		}
		for i := range t.FanOut {
			if token := t.ChildToken[int(node)*t.FanOut+i]; token >= 0 {
				descend(t.ChildNode[int(node)*t.FanOut+i], append(path, token))
			}
		}
	}
	descend(0, slices.Clone(t.Prefix))
	return found
}

func TestTrieHasEverySequence(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 200 {
		seen := make(map[string]bool)
		var sequences [][]int64
		for range 1 + rng.IntN(60) {
			s := []int64{7, 8}
			for range 1 + rng.IntN(4) {
				s = append(s, 10+rng.Int64N(5))
			}
			s = append(s, 2) // an end token keeps sequences of different length prefix-free
			key := string(rune(len(s)))
			for _, token := range s {
				key += string(rune(token))
			}
			if !seen[key] {
				seen[key] = true
				sequences = append(sequences, s)
			}
		}
		built, err := NewTrie(sequences)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		found := leaves(built)
		if len(found) != len(sequences) || built.Leaves != len(sequences) {
			t.Fatalf("round %d: %d leaves reached, Leaves is %d, want %d", round, len(found), built.Leaves, len(sequences))
		}
		for i, want := range sequences {
			if !slices.Equal(found[i], want) {
				t.Fatalf("round %d: leaf %d is %v, want %v", round, i, found[i], want)
			}
		}
		if len(sequences) > 1 && !slices.Equal(built.Prefix[:2], []int64{7, 8}) {
			t.Fatalf("round %d: prefix %v does not hold the shared tokens", round, built.Prefix)
		}
	}
}

func TestNewTrieRejectsInvalidSequences(t *testing.T) {
	for _, c := range []struct {
		name      string
		sequences [][]int64
		want      string
	}{
		{"nothing", nil, "no sequences"},
		{"an empty sequence", [][]int64{{}}, "is empty"},
		{"equal sequences", [][]int64{{1, 2}, {3}, {1, 2}}, "is a prefix of"},
		{"a prefix of another", [][]int64{{1, 2, 3}, {1, 2}}, "is a prefix of"},
	} {
		if _, err := NewTrie(c.sequences); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
}
