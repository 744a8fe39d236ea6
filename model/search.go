package model

import (
	"context"
	"errors"
	"math"

	"genrec/model/examples"
	"genrec/model/rank"
	"genrec/model/tensor"
	"genrec/model/tokens"
)

// Beams is the default width of the beam search (paper, section 7.1).
const Beams = 20

// Candidate is an item that a search found, with the log-probability of its text.
type Candidate = rank.Candidate

// Searcher finds the most probable sequences of a trie by beam search, and scores them and
// others by the dense head. It runs on threads of its own, and is safe for concurrent use.
type Searcher struct {
	network *network
	device  Device
	beams   int64
	tree    *tokens.Trie
	crew    crew
	packed  bool // whether the encoder leaves out the padding; a CPU's parts have little

	owned        *graph
	prefix       []int64        // what the decoder reads before the first free token
	prefixTokens *tensor.Tensor // (1, T)
	childToken   *tensor.Tensor // (N, A): tokens of the trie's inner nodes, 0 where there is none
	childNode    *tensor.Tensor // (N, A): nodes behind them, 0 where there is none
	childBias    *tensor.Tensor // (N, A): 0 where there is a child, -inf elsewhere
	itself       *tensor.Tensor // (1, 1, K, K): 0 on the diagonal, -inf elsewhere
	numbers      *tensor.Tensor // (B, 1): 0 to B-1, for as many as are searched together
	recordings   []*recordings  // of each thread, on a GPU
	output       linear         // D to V, or to a few more that have no probability
}

// NewSearcher puts the trie on the model's device; prepare, unless it is nil, runs at the
// start of every thread that the searcher makes.
func (m *Model) NewSearcher(tree *tokens.Trie, beams int, prepare func()) (s *Searcher, err error) {
	defer tensor.Catch(&err)
	s = &Searcher{
		network: m.network, device: m.device, beams: int64(beams), tree: tree,
		packed: m.device != CPU,
		owned:  newGraph(m.device),
		prefix: append([]int64{tokens.End, tokens.Begin}, tree.Prefix...),
	}
	token, node := make([]int64, len(tree.ChildToken)), make([]int64, len(tree.ChildNode))
	bias := make([]float32, len(tree.ChildToken))
	for i := range token {
		if tree.ChildToken[i] < 0 {
			bias[i] = float32(math.Inf(-1))
			continue
		}
		token[i], node[i] = tree.ChildToken[i], tree.ChildNode[i]
	}
	s.prefixTokens = s.owned.Ints(s.prefix, 1, int64(len(s.prefix)))
	numbers := make([]int64, max(mostTogether, mostOnGPU))
	for i := range numbers {
		numbers[i] = int64(i)
	}
	s.numbers = s.owned.Ints(numbers, int64(len(numbers)), 1)
	rows, fanOut := int64(tree.InnerNodes), int64(tree.FanOut)
	s.childToken = s.owned.Ints(token, rows, fanOut)
	s.childNode = s.owned.Ints(node, rows, fanOut)
	s.childBias = s.owned.Floats(bias, rows, fanOut)
	s.output = s.alignedOutput()
	s.itself = s.network.floats(s.owned, diagonal(beams), 1, 1, s.beams, s.beams)
	if s.crew, err = newCrew(m.device, searchingThreads(m), prepare); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	for range s.crew.size() {
		s.recordings = append(s.recordings, newRecordings())
	}
	return s, nil
}

// newGraph is for a part of the requests.
func (s *Searcher) newGraph() *graph {
	g := newGraph(s.device)
	g.fused = s.device == CPU && !s.packed && s.network.kind == tensor.Float32
	return g
}

// aligned is what a GPU wants the columns of a matrix to be a multiple of.
const aligned = 8

// alignedOutput is the projection to the logits, on a GPU in bfloat16 with as many columns
// as its matrix products are fast for. Other weights may go on learning, and are no copy.
func (s *Searcher) alignedOutput() linear {
	g, bias := s.owned, s.owned.View(s.network.logitsBias, -1)
	missing := -int64(s.network.config.Vocabulary) & (aligned - 1)
	if s.device == CPU || s.network.kind == tensor.Float32 || missing == 0 {
		return linear{s.network.tokens, bias}
	}
	none := make([]float32, missing)
	for i := range none {
		none[i] = float32(math.Inf(-1))
	}
	width := int64(s.network.config.Width)
	zeros := make([]float32, missing*width)
	return linear{
		weight: g.Cat(0, s.network.tokens, s.network.floats(g, zeros, missing, width)),
		bias:   g.Cat(0, bias, s.network.floats(g, none, missing)),
	}
}

func diagonal(size int) []float32 {
	matrix := make([]float32, size*size)
	for i := range matrix {
		if i/size != i%size {
			matrix[i] = float32(math.Inf(-1))
		}
	}
	return matrix
}

// Close frees the trie's tensors and the threads.
func (s *Searcher) Close() (err error) {
	defer tensor.Catch(&err)
	s.crew.close()
	for _, r := range s.recordings {
		r.free()
	}
	s.owned.Free()
	return nil
}

// Search returns for each input the best sequences, best first and all distinct:
// as many as there are beams and spare more, or fewer when the trie has fewer. The
// spare ones let a caller leave some out and still have a full list.
//
// Beams that reach a leaf leave the search, as in Hugging Face's: at each step the
// best continuations are taken of all, those that end a sequence are put aside, and
// as many others go on as there are beams.
func (s *Searcher) Search(ctx context.Context, inputs []examples.Input, spare int) ([][]Candidate, error) {
	requests := make([]*rank.Request, len(inputs))
	for i, in := range inputs {
		requests[i] = &rank.Request{Input: in, Spare: spare}
	}
	scores, err := s.Score(ctx, requests, rank.Heads{Beams: true})
	if err != nil {
		return nil, err
	}
	found := make([][]Candidate, len(inputs))
	for i, of := range scores {
		for j, leaf := range of.BeamLeaves {
			found[i] = append(found[i], Candidate{Leaf: int(leaf), LogProb: float64(of.BeamLogProbs[j])})
		}
	}
	return found, nil
}

// search goes on from the start until every beam has ended, and keeps the best: of those
// that end before the last step, each request's within its number of places.
func (s *Searcher) search(g *graph, b beams, keep int64, within *tensor.Tensor) (ended finished) {
	for depth := 1; ; depth++ {
		logits := s.output.apply(g, b.states) // (B*K, V)
		if depth == s.tree.MaxDepth {         // whoever goes on ends here
			return ended.with(g, s.expand(g, b, logits, keep), keep)
		}
		var next expansion
		if depth < s.tree.MinDepth {
			next = s.expand(g, b, logits, s.beams)
		} else {
			best := s.expand(g, b, logits, keep+s.beams)
			ended = ended.with(g, s.leaves(g, best, within), keep)
			next = s.inner(g, best)
		}
		s.advance(g, &b, next, int64(len(s.prefix)+depth-1))
		g.Free(append(b.tensors(), ended.tensors()...)...)
	}
}

// beams is the state of a search: K beams for each of B requests. The keys and values of
// all tokens that beams ever had stay where they are, and each beam looks at those of its
// own path.
type beams struct {
	requests *tensor.Tensor // (B, 1): 0 to B-1
	states   *tensor.Tensor // (B*K, D): decoder states behind the last token
	nodes    *tensor.Tensor // (B, K)
	scores   *tensor.Tensor // (B, K)
	own      []keysValues   // of each layer, T tokens a request: the prefix, then K a step
	paths    *tensor.Tensor // (B, 1, K, T): 0 on a beam's path, -inf elsewhere
	cross    []keysValues
	mask     *tensor.Tensor // (B, 1, 1, S) on the encoder's padding, or None
}

func (b *beams) tensors() []*tensor.Tensor {
	all := []*tensor.Tensor{b.requests, b.states, b.nodes, b.scores, b.paths, b.mask}
	for i := range b.own {
		all = append(all, b.own[i].keys, b.own[i].values, b.cross[i].keys, b.cross[i].values, b.cross[i].packing.starts)
	}
	return all
}

// start runs the encoder and the forced prefix: one beam per request. It also returns
// the decoder's states (B, T, D) over the prefix.
func (s *Searcher) start(g *graph, u uploaded) (beams, *tensor.Tensor) {
	rows, length := u.rows, int64(len(s.prefix))
	e := s.network.encode(g, u)
	states, own, cross := s.network.decode(g, g.Expand(s.prefixTokens, rows, length), e) // (B, T, D)
	return beams{
		requests: g.Narrow(s.numbers, 0, 0, rows),
		states:   g.Select(states, 1, length-1), // (B, D)
		nodes:    g.IntZeros(rows, 1),
		scores:   g.Zeros(rows, 1),
		own:      own, paths: g.As(g.Zeros(rows, 1, 1, length), s.network.kind),
		cross: cross, mask: u.mask,
	}, states
}

// expansion holds the best continuations of a step.
type expansion struct {
	scores  *tensor.Tensor // (B, K'), best first
	tokens  *tensor.Tensor // (B, K')
	nodes   *tensor.Tensor // (B, K')
	parents *tensor.Tensor // (B, K'): which beam each one continues
}

// expand scores every allowed token of every beam by its logits (B*K, V) and keeps the best.
func (s *Searcher) expand(g *graph, b beams, logits *tensor.Tensor, keep int64) expansion {
	shape := b.nodes.Shape()
	rows, width, fanOut := shape[0], shape[1], int64(s.tree.FanOut)
	if g.fused {
		best, tokens, nodes, parents := g.Continue(logits, b.nodes, b.scores, s.childToken, s.childNode, s.childBias, keep)
		return expansion{scores: best, tokens: tokens, nodes: nodes, parents: parents}
	}
	at := g.View(b.nodes, -1) // (B*K)
	children := func(table *tensor.Tensor) *tensor.Tensor { return g.IndexSelect(table, 0, at) }

	allowed := children(s.childToken) // (B*K, A)
	scores := g.LogProbs(logits, allowed)
	scores = g.Add(scores, children(s.childBias))
	scores = g.Add(scores, g.View(b.scores, -1, 1))
	perRequest := func(x *tensor.Tensor) *tensor.Tensor { return g.View(x, rows, width*fanOut) }
	best, index := g.TopK(perRequest(scores), min(keep, width*fanOut)) // (B, K')
	pick := func(x *tensor.Tensor) *tensor.Tensor { return g.Gather(perRequest(x), 1, index) }
	return expansion{
		scores:  best,
		tokens:  pick(allowed),
		nodes:   pick(children(s.childNode)),
		parents: g.FloorDivide(index, fanOut),
	}
}

// take picks columns of an expansion and gives them scores, (B, K) both.
func (e expansion) take(g *graph, scores, columns *tensor.Tensor) expansion {
	pick := func(x *tensor.Tensor) *tensor.Tensor { return g.Gather(x, 1, columns) }
	return expansion{scores: scores, tokens: pick(e.tokens), nodes: pick(e.nodes), parents: pick(e.parents)}
}

// inner keeps the best continuations that end no sequence, one for each beam.
func (s *Searcher) inner(g *graph, e expansion) expansion {
	leaf := g.AtLeast(e.nodes, int64(s.tree.InnerNodes))
	scores, columns := g.TopK(g.Fill(e.scores, leaf, math.Inf(-1)), min(s.beams, e.scores.Shape()[1]))
	// A filler has no score, but a node that must not be a leaf.
	e.nodes = g.Fill(e.nodes, leaf, 0)
	return e.take(g, scores, columns)
}

// leaves are the continuations within a request's places (B, K') that end a sequence; the
// others lose their score.
func (s *Searcher) leaves(g *graph, e expansion, within *tensor.Tensor) expansion {
	few := min(within.Shape()[1], e.scores.Shape()[1])
	first := func(x *tensor.Tensor) *tensor.Tensor { return g.Narrow(x, 1, 0, few) }
	nodes := first(e.nodes)
	goingOn := g.Not(g.AtLeast(nodes, int64(s.tree.InnerNodes)))
	scores := g.Add(first(e.scores), first(within))
	return expansion{scores: g.Fill(scores, goingOn, math.Inf(-1)), nodes: nodes}
}

// advance runs the decoder on the tokens just chosen, which stand at position.
func (s *Searcher) advance(g *graph, b *beams, next expansion, position int64) {
	shape, before := next.nodes.Shape(), b.paths.Shape()
	rows, width := shape[0], shape[1]

	// A beam's parent among all beams of the batch: (B*K').
	parents := g.View(g.Add(next.parents, g.Times(b.requests, before[2])), -1)
	paths := g.IndexSelect(g.View(b.paths, -1, before[3]), 0, parents)                       // (B*K', T)
	itself := g.Narrow(g.Narrow(s.itself, 2, 0, width), 3, 0, width)                         // (1, 1, K', K')
	b.paths = g.Cat(3, g.View(paths, rows, 1, width, -1), g.Expand(itself, rows, 1, -1, -1)) // (B, 1, K', T+K')

	x := s.network.embedTarget(g, g.View(next.tokens, -1, 1), position, nil) // (B*K', 1, D)
	x = g.View(x, rows, width, -1)                                           // (B, K', D)
	for i, layer := range s.network.decoder {
		mark := g.Mark()
		x, b.own[i] = layer.step(g, x, b.own[i], b.paths, b.cross[i], b.mask)
		g.FreeSince(mark, x, b.own[i].keys, b.own[i].values)
	}
	b.states = g.View(x, rows*width, -1) // (B*K', D)
	b.nodes, b.scores = next.nodes, next.scores
}

// step is apply for one more token per beam: x is (B, K, D). Beams share the keys and
// values of the encoder and of the tokens before, of which paths lets each see its own.
func (l decoderLayer) step(g *graph, x *tensor.Tensor, own keysValues, paths *tensor.Tensor, encoded keysValues, mask *tensor.Tensor) (*tensor.Tensor, keysValues) {
	x, own = l.selfAttention.goOn(g, x, own, paths)
	return l.feedForward.apply(g, l.crossAttention.to(g, x, encoded, mask)), own
}
