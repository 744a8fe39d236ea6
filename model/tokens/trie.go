package tokens

import (
	"errors"
	"fmt"
	"slices"
)

// Trie is a prefix tree over the token sequences of all items, in flat tables, so that a beam search
// on any device can look up the allowed tokens of many beams at once.
//
// Nodes are numbered breadth first: node 0 is the root, inner nodes come before leaves, and leaf
// InnerNodes+i is the end of sequence i. A prefix common to all sequences is cut off.
type Trie struct {
	// Prefix holds the tokens with which all sequences start. The root is at its end.
	Prefix []int64
	// InnerNodes and Leaves are the numbers of such nodes.
	InnerNodes, Leaves int
	// FanOut is the largest number of children of a node.
	FanOut int
	// MinDepth and MaxDepth are the smallest and largest number of tokens from the root to a leaf.
	MinDepth, MaxDepth int
	// ChildToken and ChildNode are the tokens and node numbers of the children, row by row:
	// (InnerNodes, FanOut). Rows of nodes with fewer children are padded with -1.
	ChildToken, ChildNode []int64
}

// ErrNoSequences is returned by NewTrie if there are no sequences.
var ErrNoSequences = errors.New("no sequences")

// NewTrie returns a trie in which sequence i is leaf i. No sequence may be equal to another or a
// prefix of another.
func NewTrie(sequences [][]int64) (*Trie, error) {
	if len(sequences) == 0 {
		return nil, ErrNoSequences
	}
	b := trieBuilder{sequences: sequences, order: make([]int, len(sequences))}
	for i := range b.order {
		b.order[i] = i
	}
	slices.SortFunc(b.order, func(x, y int) int { return slices.Compare(sequences[x], sequences[y]) })
	for i := 1; i < len(b.order); i++ {
		previous, next := sequences[b.order[i-1]], sequences[b.order[i]]
		if len(previous) <= len(next) && slices.Equal(previous, next[:len(previous)]) {
			return nil, fmt.Errorf("sequence %d %v is a prefix of sequence %d %v", b.order[i-1], previous, b.order[i], next)
		}
	}
	if len(sequences[b.order[0]]) == 0 {
		return nil, fmt.Errorf("sequence %d is empty", b.order[0])
	}
	b.findPrefix()
	b.addLevels()
	return b.flatten(), nil
}

type trieEdge struct {
	token int64
	child int // number of the inner node, or of the sequence if leaf is set
	leaf  bool
}

// trieSpan is the range of the sorted sequences below a node.
type trieSpan struct{ from, to int }

type trieBuilder struct {
	sequences [][]int64
	order     []int // of the sequences, lexicographic
	prefix    int   // length of the common prefix
	depth     int
	children  [][]trieEdge // by inner node
}

// findPrefix determines the length of the common prefix. At least one token is left, even of a
// single sequence.
func (b *trieBuilder) findPrefix() {
	first, last := b.sequences[b.order[0]], b.sequences[b.order[len(b.order)-1]]
	for b.prefix < min(len(first), len(last))-1 && first[b.prefix] == last[b.prefix] {
		b.prefix++
	}
}

func (b *trieBuilder) addLevels() {
	level := []trieSpan{{0, len(b.order)}}
	for ; len(level) > 0; b.depth++ {
		var next []trieSpan
		firstOfNext := len(b.children) + len(level)
		for _, node := range level {
			var row []trieEdge
			for _, group := range b.groups(node, b.prefix+b.depth) {
				sequence := b.order[group.from]
				e := trieEdge{token: b.sequences[sequence][b.prefix+b.depth]}
				if len(b.sequences[sequence]) == b.prefix+b.depth+1 {
					e.child, e.leaf = sequence, true
				} else {
					e.child = firstOfNext + len(next)
					next = append(next, group)
				}
				row = append(row, e)
			}
			b.children = append(b.children, row)
		}
		level = next
	}
}

// groups splits a span by the token at a position of the sequences.
func (b *trieBuilder) groups(s trieSpan, position int) []trieSpan {
	var groups []trieSpan
	for from := s.from; from < s.to; {
		to := from + 1
		for to < s.to && b.sequences[b.order[to]][position] == b.sequences[b.order[from]][position] {
			to++
		}
		groups = append(groups, trieSpan{from, to})
		from = to
	}
	return groups
}

func (b *trieBuilder) flatten() *Trie {
	t := &Trie{
		Prefix:     slices.Clone(b.sequences[b.order[0]][:b.prefix]),
		InnerNodes: len(b.children),
		Leaves:     len(b.sequences),
		MinDepth:   b.depth,
		MaxDepth:   b.depth,
	}
	for _, row := range b.children {
		t.FanOut = max(t.FanOut, len(row))
	}
	for _, s := range b.sequences {
		t.MinDepth = min(t.MinDepth, len(s)-b.prefix)
	}
	t.ChildToken = slices.Repeat([]int64{-1}, t.InnerNodes*t.FanOut)
	t.ChildNode = slices.Repeat([]int64{-1}, t.InnerNodes*t.FanOut)
	for n, row := range b.children {
		for i, e := range row {
			if e.leaf {
				e.child += t.InnerNodes
			}
			t.ChildToken[n*t.FanOut+i] = e.token
			t.ChildNode[n*t.FanOut+i] = int64(e.child)
		}
	}
	return t
}
