package examples

import (
	"cmp"
	"iter"
	"math/rand/v2"
	"slices"

	"genrec/model/tokens"
)

// Batch holds inputs padded to one length, row by row: Rows x Length.
type Batch struct {
	Rows, Length         int
	Depth                int // tokens at a position: Tokens is Rows x Length x Depth
	Tokens, Users, Items []int64
	// Distance counts the positions between each one and the end of its input.
	Distance []int64
	Lengths  []int64 // [Rows]: positions before the padding
	Newest   []int64 // [Rows]: the item that the history ends with
}

// Targets holds what the decoder reads and has to write: Rows x Length.
type Targets struct {
	Length         int
	Inputs, Labels []int64
	Items          []int64 // [Rows]: dense numbers
}

// NewBatch pads inputs at the end.
func NewBatch(inputs []Input) Batch {
	b := Batch{Rows: len(inputs)}
	for _, in := range inputs {
		b.Length = max(b.Length, in.Positions())
		b.Depth = len(in.Tokens) / in.Positions()
	}
	for _, in := range inputs {
		b.Tokens = appendPadded(b.Tokens, in.Tokens, b.Length*b.Depth, tokens.Pad)
		b.Users = appendPadded(b.Users, in.Users, b.Length, 0)
		b.Items = appendPadded(b.Items, in.Items, b.Length, 0)
		for j := range b.Length {
			b.Distance = append(b.Distance, int64(max(0, in.Positions()-1-j)))
		}
		b.Lengths = append(b.Lengths, int64(in.Positions()))
		b.Newest = append(b.Newest, in.Newest)
	}
	return b
}

// Inputs are what the encoder reads of a batch.
func Inputs(batch []Example) []Input {
	inputs := make([]Input, len(batch))
	for i, e := range batch {
		inputs[i] = e.Input
	}
	return inputs
}

// NewTargets shifts labels to the right to get the decoder's inputs, as BART
// does: the decoder starts from the end token.
func NewTargets(examples []Example) Targets {
	var t Targets
	for _, e := range examples {
		t.Length = max(t.Length, len(e.Labels))
	}
	for _, e := range examples {
		t.Items = append(t.Items, e.Item)
		shifted := append([]int64{tokens.End}, e.Labels...)
		t.Inputs = appendPadded(t.Inputs, shifted[:min(len(shifted), t.Length)], t.Length, tokens.Pad)
		t.Labels = appendPadded(t.Labels, e.Labels, t.Length, IgnoredLabel)
	}
	return t
}

func appendPadded(dst, row []int64, length int, pad int64) []int64 {
	dst = append(dst, row...)
	for range length - len(row) {
		dst = append(dst, pad)
	}
	return dst
}

// chunkOfBatches is how many batches are sorted by length together: enough that
// rows of a batch are about equally long, few enough that batches stay random.
const chunkOfBatches = 32

// Epoch makes one example of every history, in random order, in batches of about
// equally long ones. The same rng gives the same batches.
func Epoch(histories []History, example func(History, *rand.Rand) Example, batchSize int, rng *rand.Rand) iter.Seq[[]Example] {
	return func(yield func([]Example) bool) {
		order := rng.Perm(len(histories))
		for chunk := range slices.Chunk(order, batchSize*chunkOfBatches) {
			var examples []Example
			for _, i := range chunk {
				examples = append(examples, example(histories[i], rng))
			}
			slices.SortStableFunc(examples, func(a, b Example) int { return cmp.Compare(a.Positions(), b.Positions()) })
			batches := slices.Collect(slices.Chunk(examples, batchSize))
			rng.Shuffle(len(batches), func(i, j int) { batches[i], batches[j] = batches[j], batches[i] })
			for _, batch := range batches {
				if !yield(batch) {
					return
				}
			}
		}
	}
}

// Tokens counts the positions that the model reads and the tokens that it writes of a
// batch, without padding.
func Tokens(batch []Example) int {
	n := 0
	for _, e := range batch {
		n += e.Positions() + len(e.Labels)
	}
	return n
}

// Batches is the number of batches that Epoch yields.
func Batches(histories, batchSize int) int {
	return (histories + batchSize - 1) / batchSize
}
