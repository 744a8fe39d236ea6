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

// Searcher finds the most probable items by a beam search over the trie of their texts, and scores them
// and others by the dense head. If items are leaves (Config.ItemLeaves), the search takes the place of the
// head: its last step scores the items below the beams by their embeddings. A Searcher runs on threads of
// its own, and is safe for concurrent use.
type Searcher struct {
	network   *network
	device    Device
	beamWidth int64
	trie      *tokens.Trie
	backend   backend
	threads   threadPool

	constants    *pass          // owns the tensors below
	prefix       []int64        // the decoder's tokens before the first one that is searched for
	prefixTokens *tensor.Tensor // (1, T)
	children     childTables
	diagonal     *tensor.Tensor // (1, 1, K, K): 0 on the diagonal, -inf elsewhere
	rowNumbers   *tensor.Tensor // (B, 1): 0 to B-1, for the largest micro-batch
	output       linear         // D to V, or to some columns more that have no probability
}

// childTables hold the children of the trie's inner nodes, (N, A) each, for a fan-out of A.
type childTables struct {
	tokens *tensor.Tensor // 0 where there is no child
	nodes  *tensor.Tensor // 0 where there is no child
	bias   *tensor.Tensor // 0, or -inf where there is no child
	items  *tensor.Tensor // rows of the item table, 0 where the child is none; nil unless items are leaves
}

// NewSearcher puts the trie on the model's device. onThreadStart, unless it is nil, runs at the start of
// every thread of the searcher.
func (m *Model) NewSearcher(trie *tokens.Trie, beams int, onThreadStart func()) (s *Searcher, err error) {
	defer tensor.Catch(&err)
	if m.Config.ItemLeaves && trie.MinDepth < trie.MaxDepth {
		return nil, errors.New("genrec_item_leaves needs item texts of equal length")
	}
	threads := inferenceThreads(m)
	s = &Searcher{
		network: m.network, device: m.device, beamWidth: int64(beams), trie: trie,
		backend: newBackend(m.device, m.network.kind, threads),
		prefix:  append([]int64{tokens.End, tokens.Begin}, trie.Prefix...),
	}
	s.constants = s.newPass()
	s.prefixTokens = s.constants.Ints(s.prefix, 1, int64(len(s.prefix)))
	numbers := make([]int64, max(maxRowsCPU, maxRowsGPU))
	for i := range numbers {
		numbers[i] = int64(i)
	}
	s.rowNumbers = s.constants.Ints(numbers, int64(len(numbers)), 1)
	s.children = newChildTables(s.constants, trie)
	if s.network.config.ItemLeaves {
		s.children.items = s.constants.itemsBelow(s.children, trie)
	}
	s.output = s.backend.alignOutput(s.constants, s.network, s.network.output(s.constants))
	s.diagonal = s.network.floats(s.constants, diagonal(beams), 1, 1, s.beamWidth, s.beamWidth)
	if s.threads, err = newThreadPool(m.device, threads, onThreadStart); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func newChildTables(p *pass, trie *tokens.Trie) childTables {
	token, node := make([]int64, len(trie.ChildToken)), make([]int64, len(trie.ChildNode))
	bias := make([]float32, len(trie.ChildToken))
	for i := range token {
		if trie.ChildToken[i] < 0 {
			bias[i] = float32(math.Inf(-1))
			continue
		}
		token[i], node[i] = trie.ChildToken[i], trie.ChildNode[i]
	}
	rows, fanOut := int64(trie.InnerNodes), int64(trie.FanOut)
	return childTables{tokens: p.Ints(token, rows, fanOut), nodes: p.Ints(node, rows, fanOut), bias: p.Floats(bias, rows, fanOut)}
}

// itemsBelow returns the rows of the item table below the nodes of a trie (N, A), 0 where the child is an
// inner node or none.
func (p *pass) itemsBelow(c childTables, trie *tokens.Trie) *tensor.Tensor {
	return p.ClampNegative(p.AddInt(c.nodes, 1-int64(trie.InnerNodes))) // leaf 0 is item 1
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

func (s *Searcher) newPass() *pass { return newPass(s.device, s.backend) }

// Close ends the threads and frees the tensors of the searcher.
func (s *Searcher) Close() (err error) {
	defer tensor.Catch(&err)
	s.threads.close()
	s.backend.close()
	s.constants.Free()
	return nil
}

// Search returns the best items for each input, best first and all distinct: as many as there are beams,
// and spare more, or fewer if the trie has fewer. The spare ones let a caller filter some out.
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
			found[i] = append(found[i], Candidate{Leaf: int(leaf), LogProb: float64(of.BeamLogProbs[j]), Searched: true})
		}
	}
	return found, nil
}

var _ rank.Network = (*Searcher)(nil)

// Score runs the beam search, the dense head, or both.
func (s *Searcher) Score(ctx context.Context, requests []*rank.Request, heads rank.Heads) ([]rank.HeadScores, error) {
	scores := make([]rank.HeadScores, len(requests))
	err := s.eachMicroBatch(ctx, requests, func(thread int, p *pass, numbers []int, batch []*rank.Request) {
		out := s.backend.run(s, thread, p, batch, s.shapeOf(batch, heads))
		for i, of := range s.download(out, batch) {
			scores[numbers[i]] = of
		}
	})
	return scores, err
}

// candidates is the number of items that the search finds for a request without spare ones.
func (s *Searcher) candidates() int64 {
	if s.network.config.ItemLeaves {
		return max(s.beamWidth, rank.Shortlist)
	}
	return s.beamWidth
}

// batchShape is what the operations for a batch depend on, except its contents.
type batchShape struct {
	rank.Heads
	rows      int64
	positions int64 // packed and padded to be captured as a CUDA graph; 0 elsewhere
	spare     int64 // candidates of each component beyond those for a request without seen items
	proposals int64 // of rules, for each row
}

func (s *Searcher) shapeOf(requests []*rank.Request, heads rank.Heads) batchShape {
	shape := batchShape{Heads: heads, rows: int64(len(requests))}
	for _, r := range requests {
		shape.spare = max(shape.spare, int64(r.Spare))
		if heads.Dense || s.network.config.ItemLeaves {
			shape.proposals = max(shape.proposals, int64(len(r.Proposals)))
		}
	}
	return shape
}

// output is what is computed for a batch, on the device. For the beam search there are K columns, for
// the dense head H, and R for the proposals of the rules.
type output struct {
	leaves   *tensor.Tensor // (B, K+H): found by the beam search, then by the dense head
	logProbs *tensor.Tensor // (B, K+H+K+R): the beam search's of the first K, then the dense head's of its H, those K, and the proposals; with item leaves (B, K+R), all the beam search's
	beams    int64          // K
	dense    int64          // H
}

// uploadAndCompute runs the heads on a batch of the host. The output belongs to the pass.
func (s *Searcher) uploadAndCompute(p *pass, host *hostBatch, shape batchShape) output {
	ints, floats := host.upload(p)
	return s.compute(p, s.network.onDevice(p, host, ints, floats), shape)
}

// compute runs the heads on a batch. The output belongs to the pass.
func (s *Searcher) compute(p *pass, b deviceBatch, shape batchShape) (out output) {
	searching := s.newPass() // each step of the search frees what it leaves
	defer searching.Free()
	beams, states := s.start(searching, b)
	var items, best *tensor.Tensor
	if shape.Dense {
		items = s.network.itemLogits(p, states)                                                      // (B, Items)
		best = p.backend.topIndices(p, items, min(rank.Shortlist+shape.spare, int64(s.trie.Leaves))) // (B, H)
		out.dense = best.Shape()[1]
	}
	if !shape.Beams {
		out.leaves = best
		out.logProbs = p.backend.logProbs(p, items, concatenate(p, best, b.proposals))
		return out
	}
	if s.network.config.ItemLeaves {
		ends := itemBeams{query: p.Select(states, 1, startTokens-1), proposals: b.proposals, keep: s.candidates() + shape.spare}
		ends.nodes, ends.scores = s.searchPaths(searching, beams)
		found := p.backend.expandLeaves(searching, s.network, ends, s.children.items)
		searching.Give(&p.Scope, found.leaves, found.logProbs)
		return output{leaves: found.leaves, logProbs: found.logProbs, beams: found.leaves.Shape()[1]}
	}
	ended := s.search(searching, beams, s.beamWidth+shape.spare, b.endedMask)
	out.beams = ended.nodes.Shape()[1]
	found := s.leaves(p, ended.nodes) // (B, K)
	out.leaves = concatenate(p, found, best)
	out.logProbs = p.Cat(1, ended.scores)
	if shape.Dense {
		out.logProbs = p.Cat(1, ended.scores, p.backend.logProbs(p, items, concatenate(p, best, found, b.proposals)))
	}
	return out
}

// search runs a beam search over the trie until every beam has ended, and returns the best texts. Beams
// that reach a leaf leave the search, as in Hugging Face's: each step takes the best continuations of
// all beams, puts aside those that end a text, and continues with as many others as there are beams.
// Of texts that end before the last step, a row keeps those that its mask (B, K') does not hide.
func (s *Searcher) search(p *pass, b beams, keep int64, endedMask *tensor.Tensor) (ended endedTexts) {
	for depth := 1; ; depth++ {
		logits := s.output.apply(p, b.states) // (B*K, V)
		if depth == s.trie.MaxDepth {         // every continuation ends its text
			return ended.add(p, p.backend.expandBeams(p, &b, logits, s.children, keep), keep)
		}
		var next expansion
		if depth < s.trie.MinDepth { // none does
			next = p.backend.expandBeams(p, &b, logits, s.children, s.beamWidth)
		} else {
			best := p.backend.expandBeams(p, &b, logits, s.children, keep+s.beamWidth)
			ended = ended.add(p, s.ending(p, best, endedMask), keep)
			next = s.continuing(p, best)
		}
		s.advance(p, &b, next, int64(len(s.prefix)+depth-1))
		p.Free(append(b.tensors(), ended.tensors()...)...)
	}
}

// searchPaths runs a beam search over the inner nodes of the trie, all of whose leaves have the same
// depth. It returns the best parents of leaves with the log-probabilities of their paths, (B, K) each.
func (s *Searcher) searchPaths(p *pass, b beams) (nodes, scores *tensor.Tensor) {
	for depth := 1; depth < s.trie.MaxDepth; depth++ {
		logits := s.output.apply(p, b.states) // (B*K, V)
		best := p.backend.expandBeams(p, &b, logits, s.children, s.beamWidth)
		if depth == s.trie.MaxDepth-1 {
			return best.nodes, best.scores
		}
		s.advance(p, &b, best, int64(len(s.prefix)+depth-1))
		p.Free(b.tensors()...)
	}
	return b.nodes, b.scores
}

// beams is the state of a search: K beams for each of B rows. Keys and values of all tokens that beams
// ever had stay in one cache for each row, and each beam attends to those of its ancestors.
type beams struct {
	rowNumbers *tensor.Tensor // (B, 1): 0 to B-1
	states     *tensor.Tensor // (B*K, D): decoder states behind the newest tokens
	nodes      *tensor.Tensor // (B, K): of the trie
	scores     *tensor.Tensor // (B, K): log-probabilities
	cache      []keysValues   // of each layer, (B, T, D): T tokens for a row, those of the prefix, then K for each step
	ancestors  *tensor.Tensor // (B, 1, K, T): 0 on a beam's tokens, -inf elsewhere
	cross      []keysValues   // of each layer: of the encoder's states
}

func (b *beams) tensors() []*tensor.Tensor {
	all := []*tensor.Tensor{b.rowNumbers, b.states, b.nodes, b.scores, b.ancestors}
	for i := range b.cache {
		all = append(all, b.cache[i].keys, b.cache[i].values, b.cross[i].keys, b.cross[i].values)
	}
	return all
}

// start runs the encoder and the decoder on the prefix of all texts: one beam for each row. It also
// returns the decoder's states (B, T, D).
func (s *Searcher) start(p *pass, b deviceBatch) (beams, *tensor.Tensor) {
	rows, length := b.rows, int64(len(s.prefix))
	e := s.network.encode(p, b)
	states, cache, cross := s.network.decode(p, p.Expand(s.prefixTokens, rows, length), e) // (B, T, D)
	return beams{
		rowNumbers: p.Narrow(s.rowNumbers, 0, 0, rows),
		states:     p.Select(states, 1, length-1), // (B, D)
		nodes:      p.IntZeros(rows, 1),
		scores:     p.Zeros(rows, 1),
		cache:      cache, ancestors: p.As(p.Zeros(rows, 1, 1, length), s.network.kind),
		cross: cross,
	}, states
}

// advance runs a decode step on the chosen tokens, which are at a position of the text.
func (s *Searcher) advance(p *pass, b *beams, next expansion, position int64) {
	shape, before := next.nodes.Shape(), b.ancestors.Shape()
	rows, width := shape[0], shape[1]

	// Each beam's ancestors are those of its parent, and itself.
	parents := p.View(p.Add(next.parents, p.MultiplyInt(b.rowNumbers, before[2])), -1)               // (B*K'), among all beams
	ancestors := p.IndexSelect(p.View(b.ancestors, -1, before[3]), 0, parents)                       // (B*K', T)
	itself := p.Narrow(p.Narrow(s.diagonal, 2, 0, width), 3, 0, width)                               // (1, 1, K', K')
	b.ancestors = p.Cat(3, p.View(ancestors, rows, 1, width, -1), p.Expand(itself, rows, 1, -1, -1)) // (B, 1, K', T+K')

	x := s.network.embedTarget(p, p.View(next.tokens, -1, 1), position, nil) // (B*K', 1, D)
	x = p.View(x, rows, width, -1)                                           // (B, K', D)
	for i, layer := range s.network.decoder {
		mark := p.Mark()
		x, b.cache[i] = layer.step(p, x, b.cache[i], b.ancestors, b.cross[i])
		p.FreeSince(mark, x, b.cache[i].keys, b.cache[i].values)
	}
	b.states = p.View(x, rows*width, -1) // (B*K', D)
	b.nodes, b.scores = next.nodes, next.scores
}

// expansion holds the best continuations of a step.
type expansion struct {
	scores  *tensor.Tensor // (B, K'), best first
	tokens  *tensor.Tensor // (B, K')
	nodes   *tensor.Tensor // (B, K')
	parents *tensor.Tensor // (B, K'): the beam that each continues
}

// expandBeams scores every allowed token of every beam and keeps the best.
func (b plainBackend) expandBeams(p *pass, from *beams, logits *tensor.Tensor, c childTables, keep int64) expansion {
	shape := from.nodes.Shape()
	rows, width, fanOut := shape[0], shape[1], c.tokens.Shape()[1]
	nodes := p.View(from.nodes, -1) // (B*K)
	children := func(table *tensor.Tensor) *tensor.Tensor { return p.IndexSelect(table, 0, nodes) }

	allowed := children(c.tokens)            // (B*K, A)
	scores := b.logProbs(p, logits, allowed) // (B*K, A)
	scores = p.Add(scores, children(c.bias))
	scores = p.Add(scores, p.View(from.scores, -1, 1))
	perRow := func(x *tensor.Tensor) *tensor.Tensor { return p.View(x, rows, width*fanOut) }
	best, index := p.TopK(perRow(scores), min(keep, width*fanOut)) // (B, K')
	pick := func(x *tensor.Tensor) *tensor.Tensor { return p.Gather(perRow(x), 1, index) }
	return expansion{
		scores:  best,
		tokens:  pick(allowed),
		nodes:   pick(children(c.nodes)),
		parents: p.FloorDivide(index, fanOut),
	}
}

// itemBeams are beams whose nodes have items below them.
type itemBeams struct {
	nodes     *tensor.Tensor // (B, K)
	scores    *tensor.Tensor // (B, K): log-probabilities of the paths, best first
	query     *tensor.Tensor // (B, D): the decoder's state behind the start tokens
	proposals *tensor.Tensor // (B, R): further leaves to score, or nil
	keep      int64
}

// foundItems are the best items below the beams, K' of them.
type foundItems struct {
	leaves   *tensor.Tensor // (B, K'), best first
	logProbs *tensor.Tensor // (B, K'+R): of the leaves, then of the proposals
}

// expandLeaves scores each item below a beam by the product of the query and its embedding, plus the
// weighted log-probability of its path, and normalizes over all of them. The paths of proposals are not
// known; they count as the worst that a beam has.
func (plainBackend) expandLeaves(p *pass, n *network, b itemBeams, childItems *tensor.Tensor) foundItems {
	shape, fanOut := b.nodes.Shape(), childItems.Shape()[1]
	rows, width := shape[0], shape[1]
	score := func(items, paths *tensor.Tensor) *tensor.Tensor { // (B, X) and (B, 1) or (B, X) to (B, X)
		embedded := p.Embedding(n.items, items, noID)                 // (B, X, D)
		products := p.Product(embedded, p.View(b.query, rows, -1, 1)) // (B, X, 1)
		return p.Add(p.As(p.View(products, rows, -1), tensor.Float32), p.Scale(paths, n.config.PathWeight))
	}
	items := p.View(p.IndexSelect(childItems, 0, p.View(b.nodes, -1)), rows, width*fanOut)             // (B, K*A)
	paths := p.Reshape(p.Expand(p.View(b.scores, rows, width, 1), -1, -1, fanOut), rows, width*fanOut) // (B, K*A)
	scores := p.MaskedFill(score(items, paths), p.Equal(items, noID), math.Inf(-1))
	best, index := p.TopK(scores, min(b.keep, width*fanOut)) // (B, K')
	found := foundItems{leaves: p.ClampNegative(p.AddInt(p.Gather(items, 1, index), -1)), logProbs: best}
	if b.proposals != nil {
		unused := p.Not(p.GreaterEqual(b.scores, math.MinInt32))             // score -inf
		cost, _ := p.TopK(p.Scale(p.MaskedFill(b.scores, unused, 0), -1), 1) // (B, 1)
		found.logProbs = p.Cat(1, best, score(p.AddInt(b.proposals, 1), p.Scale(cost, -1)))
	}
	found.logProbs = p.Subtract(found.logProbs, p.LogSumExp(scores))
	return found
}

// continuing keeps the best continuations that end no text, one for each beam.
func (s *Searcher) continuing(p *pass, e expansion) expansion {
	leaf := p.GreaterEqual(e.nodes, int64(s.trie.InnerNodes))
	scores, columns := p.TopK(p.MaskedFill(e.scores, leaf, math.Inf(-1)), min(s.beamWidth, e.scores.Shape()[1]))
	// If too few continue, the score -inf and the root fill the rest: a beam must be at an inner node.
	e.nodes = p.MaskedFill(e.nodes, leaf, 0)
	pick := func(x *tensor.Tensor) *tensor.Tensor { return p.Gather(x, 1, columns) }
	return expansion{scores: scores, tokens: pick(e.tokens), nodes: pick(e.nodes), parents: pick(e.parents)}
}

// ending keeps the scores of the continuations that end a text and that the mask (B, K') does not hide.
func (s *Searcher) ending(p *pass, e expansion, mask *tensor.Tensor) expansion {
	few := min(mask.Shape()[1], e.scores.Shape()[1])
	first := func(x *tensor.Tensor) *tensor.Tensor { return p.Narrow(x, 1, 0, few) }
	nodes := first(e.nodes)
	inner := p.Not(p.GreaterEqual(nodes, int64(s.trie.InnerNodes)))
	scores := p.Add(first(e.scores), first(mask))
	return expansion{scores: p.MaskedFill(scores, inner, math.Inf(-1)), nodes: nodes}
}

// endedTexts are the best texts that have ended so far, (B, K') each, best first. Unused places have the
// score -inf.
type endedTexts struct{ scores, nodes *tensor.Tensor }

func (t endedTexts) tensors() []*tensor.Tensor {
	if t.scores == nil {
		return nil
	}
	return []*tensor.Tensor{t.scores, t.nodes}
}

// add adds the continuations of a step and keeps the best.
func (t endedTexts) add(p *pass, e expansion, keep int64) endedTexts {
	if t.scores == nil {
		return endedTexts{e.scores, e.nodes}
	}
	scores := p.Cat(1, t.scores, e.scores)
	best, index := p.TopK(scores, min(keep, scores.Shape()[1]))
	return endedTexts{best, p.Gather(p.Cat(1, t.nodes, e.nodes), 1, index)}
}

// leaves maps nodes to the numbers of their leaves, and inner nodes, which fill unused places, to 0.
func (s *Searcher) leaves(p *pass, nodes *tensor.Tensor) *tensor.Tensor {
	return p.ClampNegative(p.AddInt(nodes, -int64(s.trie.InnerNodes)))
}

// concatenate joins those of the tensors (B, n) that are not nil.
func concatenate(p *pass, tensors ...*tensor.Tensor) *tensor.Tensor {
	var all []*tensor.Tensor
	for _, t := range tensors {
		if t != nil {
			all = append(all, t)
		}
	}
	return p.Cat(1, all...)
}

// download copies the scores of the requests to the host. Each gets the candidates that it asked for,
// whatever other requests of its batch did.
func (s *Searcher) download(out output, requests []*rank.Request) []rank.HeadScores {
	leaves, logProbs := out.leaves.Ints(), out.logProbs.Floats()
	columns := int(out.beams + out.dense)
	rows := len(leaves) / columns
	width := len(logProbs) / rows
	scores := make([]rank.HeadScores, len(requests))
	for i, r := range requests {
		row, own := logProbs[i*width:][:width:width], leaves[i*columns:][:columns]
		beams := min(int(out.beams), int(s.candidates())+r.Spare)
		for beams > 0 && math.IsInf(float64(row[beams-1]), -1) { // unused places come last
			beams--
		}
		of := rank.HeadScores{BeamLeaves: own[:beams], BeamLogProbs: row[:beams]}
		if s.network.config.ItemLeaves {
			of.ProposalBeams = row[out.beams:]
		}
		if out.dense > 0 {
			dense, rest := min(int(out.dense), rank.Shortlist+r.Spare), row[out.beams:]
			of.DenseLeaves, of.DenseLogProbs = own[out.beams:][:dense], rest[:dense]
			of.BeamDense, of.ProposalDense = rest[out.dense:][:beams], rest[out.dense+out.beams:]
		}
		scores[i] = of
	}
	return scores
}
