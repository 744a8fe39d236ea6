package itemstats

import (
	"math"

	"gonum.org/v1/gonum/floats"
)

// codeTree is a prefix tree of the codes in use, with the mean embedding of the items below each
// prefix. It places items that join a catalog with fixed codes.
type codeTree struct {
	levels int
	root   *codeNode
}

// codeNode is a prefix of codes.
type codeNode struct {
	items    int         // with this prefix
	embedded int         // of those, items with an embedding
	sum      []float64   // of their embeddings
	children []*codeNode // by number, nil where unused
}

func newCodeTree(levels int) *codeTree { return &codeTree{levels: levels, root: &codeNode{}} }

// add marks a code as used by an item, whose embedding may be nil.
func (t *codeTree) add(code Code, embedding []float64) {
	n := t.root
	for level, number := range code {
		n = n.child(number)
		n.items++
		// At the last level a code has one item: its mean is never compared.
		if embedding != nil && level < t.levels-1 {
			if n.sum == nil {
				n.sum = make([]float64, len(embedding))
			}
			n.embedded++
			floats.Add(n.sum, embedding)
		}
	}
}

// place returns a free code among those of similar items and marks it as used. Without an embedding
// (nil), it chooses the prefix with the fewest items.
func (t *codeTree) place(embedding []float64) Code {
	code := make(Code, t.levels)
	n := t.root
	for level := range code {
		code[level] = n.choose(embedding, codeCount(t.levels-level-1))
		n = n.child(code[level])
	}
	t.add(code, embedding)
	return code
}

func (n *codeNode) child(number int) *codeNode {
	if n.children == nil {
		n.children = make([]*codeNode, CodebookSize)
	}
	if n.children[number] == nil {
		n.children[number] = &codeNode{}
	}
	return n.children[number]
}

// choose returns the number of a child with less than capacity items: the one whose mean is nearest
// to the embedding. If none has a mean, it returns the child with the fewest items, usually an
// unused one.
func (n *codeNode) choose(embedding []float64, capacity int) int {
	nearest, least := -1, math.Inf(1)
	emptiest, fewest := 0, capacity
	for number, child := range n.children {
		if child == nil {
			child = &codeNode{}
		}
		if child.items < fewest {
			emptiest, fewest = number, child.items
		}
		if embedding != nil && child.embedded > 0 && child.items < capacity {
			if d := child.squaredDistance(embedding); d < least {
				nearest, least = number, d
			}
		}
	}
	if nearest >= 0 {
		return nearest
	}
	return emptiest
}

// squaredDistance is the squared distance of an embedding to the mean.
func (n *codeNode) squaredDistance(embedding []float64) float64 {
	sum := 0.
	for i, x := range embedding {
		d := x - n.sum[i]/float64(n.embedded)
		sum += d * d
	}
	return sum
}
