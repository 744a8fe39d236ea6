package codes

import (
	"math"

	"gonum.org/v1/gonum/floats"
)

// tree holds which codes are taken, and what the items behind a prefix are like.
type tree struct {
	levels int
	root   *node
}

// node stands for a prefix of codes.
type node struct {
	items    int       // with such a code
	embedded int       // of them, those with an embedding
	sum      []float64 // of their embeddings
	next     []*node   // by number, nil where it is not used
}

func newTree(levels int) *tree { return &tree{levels: levels, root: &node{}} }

// add takes a code for an item, whose embedding may be nil.
func (t *tree) add(code Code, embedding []float64) {
	n := t.root
	for level, number := range code {
		n = n.child(number)
		n.items++
		// Nothing is chosen by what the one item of a whole code is like.
		if embedding != nil && level < t.levels-1 {
			if n.sum == nil {
				n.sum = make([]float64, len(embedding))
			}
			n.embedded++
			floats.Add(n.sum, embedding)
		}
	}
}

// place finds an item a free code among the items that it is like, and takes it.
// Without embedding (nil) it goes where there are fewest items.
func (t *tree) place(embedding []float64) Code {
	code := make(Code, t.levels)
	n := t.root
	for level := range code {
		code[level] = n.choose(embedding, room(t.levels-level-1))
		n = n.child(code[level])
	}
	t.add(code, embedding)
	return code
}

func (n *node) child(number int) *node {
	if n.next == nil {
		n.next = make([]*node, Size)
	}
	if n.next[number] == nil {
		n.next[number] = &node{}
	}
	return n.next[number]
}

// choose picks one of the numbers that follow the prefix and have room for another
// item: the one whose items are nearest to the embedding on average. When there is
// none, it is the one with the fewest items, which opens an unused number.
func (n *node) choose(embedding []float64, room int) int {
	nearest, least := -1, math.Inf(1)
	emptiest, fewest := 0, room
	for number, child := range n.next {
		if child == nil {
			child = &node{}
		}
		if child.items < fewest {
			emptiest, fewest = number, child.items
		}
		if embedding != nil && child.embedded > 0 && child.items < room {
			if d := child.distance(embedding); d < least {
				nearest, least = number, d
			}
		}
	}
	if nearest >= 0 {
		return nearest
	}
	return emptiest
}

// distance is that of an embedding to the average of the node's, squared.
func (n *node) distance(embedding []float64) float64 {
	sum := 0.
	for i, x := range embedding {
		d := x - n.sum[i]/float64(n.embedded)
		sum += d * d
	}
	return sum
}
