// Package trie holds the catalog's token sequences as flat tables, so that a
// beam search on any device can look up the allowed tokens of many beams at once.
package trie

import (
	"errors"
	"fmt"
	"slices"
)

// Trie is a prefix tree over token sequences. Node 0 stands behind the prefix
// that all sequences share. Inner nodes come first, breadth first, leaves after
// them: leaf InnerNodes+i is the end of sequence i.
type Trie struct {
	Prefix     []int64 // tokens that every sequence starts with
	InnerNodes int
	Leaves     int
	FanOut     int // the largest number of children of a node
	Depth      int // the largest number of tokens from node 0 to a leaf
	// FirstLeaf is the smallest number of tokens from node 0 to a leaf: no sequence
	// ends before it.
	FirstLeaf int

	// ChildToken and ChildNode are [InnerNodes, FanOut], row by row; rows with
	// fewer children are filled up with -1.
	ChildToken []int64
	ChildNode  []int64
}

// ErrEmpty says that there was no sequence to build a trie from.
var ErrEmpty = errors.New("no sequences")

// Build makes a trie in which sequence i becomes leaf i. No sequence may be
// equal to another or to the beginning of another.
func Build(sequences [][]int64) (*Trie, error) {
	if len(sequences) == 0 {
		return nil, ErrEmpty
	}
	b := builder{sequences: sequences, order: make([]int, len(sequences))}
	for i := range b.order {
		b.order[i] = i
	}
	slices.SortFunc(b.order, func(x, y int) int { return slices.Compare(sequences[x], sequences[y]) })
	for i := 1; i < len(b.order); i++ {
		previous, next := sequences[b.order[i-1]], sequences[b.order[i]]
		if len(previous) <= len(next) && slices.Equal(previous, next[:len(previous)]) {
			return nil, fmt.Errorf("sequence %d %v is the beginning of sequence %d %v", b.order[i-1], previous, b.order[i], next)
		}
	}
	if len(sequences[b.order[0]]) == 0 {
		return nil, fmt.Errorf("sequence %d is empty", b.order[0])
	}
	b.sharedPrefix()
	b.growLevels()
	return b.flatten(), nil
}

type edge struct {
	token int64
	node  int // number of the inner node, or of the sequence when leaf
	leaf  bool
}

// span is the range of the sorted sequences that pass through a node.
type span struct{ from, to int }

type builder struct {
	sequences [][]int64
	order     []int // sequences in lexicographic order
	shared    int   // length of the prefix common to all
	depth     int
	children  [][]edge // by inner node
}

// sharedPrefix leaves at least one token to choose, also for a single sequence.
func (b *builder) sharedPrefix() {
	first, last := b.sequences[b.order[0]], b.sequences[b.order[len(b.order)-1]]
	for b.shared < min(len(first), len(last))-1 && first[b.shared] == last[b.shared] {
		b.shared++
	}
}

func (b *builder) growLevels() {
	level := []span{{0, len(b.order)}}
	for ; len(level) > 0; b.depth++ {
		var next []span
		firstOfNext := len(b.children) + len(level)
		for _, node := range level {
			var row []edge
			for _, group := range b.groups(node, b.shared+b.depth) {
				sequence := b.order[group.from]
				e := edge{token: b.sequences[sequence][b.shared+b.depth]}
				if len(b.sequences[sequence]) == b.shared+b.depth+1 {
					e.node, e.leaf = sequence, true
				} else {
					e.node = firstOfNext + len(next)
					next = append(next, group)
				}
				row = append(row, e)
			}
			b.children = append(b.children, row)
		}
		level = next
	}
}

// groups splits a span by the token at a position.
func (b *builder) groups(s span, position int) []span {
	var groups []span
	for from := s.from; from < s.to; {
		to := from + 1
		for to < s.to && b.sequences[b.order[to]][position] == b.sequences[b.order[from]][position] {
			to++
		}
		groups = append(groups, span{from, to})
		from = to
	}
	return groups
}

func (b *builder) flatten() *Trie {
	t := &Trie{
		Prefix:     slices.Clone(b.sequences[b.order[0]][:b.shared]),
		InnerNodes: len(b.children),
		Leaves:     len(b.sequences),
		Depth:      b.depth,
		FirstLeaf:  b.depth,
	}
	for _, row := range b.children {
		t.FanOut = max(t.FanOut, len(row))
	}
	for _, s := range b.sequences {
		t.FirstLeaf = min(t.FirstLeaf, len(s)-b.shared)
	}
	t.ChildToken = slices.Repeat([]int64{-1}, t.InnerNodes*t.FanOut)
	t.ChildNode = slices.Repeat([]int64{-1}, t.InnerNodes*t.FanOut)
	for n, row := range b.children {
		for i, e := range row {
			if e.leaf {
				e.node += t.InnerNodes
			}
			t.ChildToken[n*t.FanOut+i] = e.token
			t.ChildNode[n*t.FanOut+i] = int64(e.node)
		}
	}
	return t
}
