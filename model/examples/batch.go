package examples

import (
	"cmp"
	"iter"
	"math/rand/v2"
	"slices"

	"genrec/model/tokens"
)

// IgnoredLabel marks decoder positions that do not contribute to the loss.
const IgnoredLabel = -100

// Batch holds inputs that are padded at the end to one length, row by row.
type Batch struct {
	// Rows is the number of inputs, and Length that of their positions.
	Rows, Length int
	// Depth is the number of tokens at a position: 1 unless tokens are pooled.
	Depth int
	// Tokens are the token ids (Rows, Length, Depth).
	Tokens []int64
	// Users and Items are the indices of the users and items (Rows, Length), 0 where there is none.
	Users, Items []int64
	// Distance is that of each position to the last one of its input (Rows, Length), 0 for padding.
	Distance []int64
	// Lengths are the lengths of the inputs without padding (Rows).
	Lengths []int64
	// Newest are the indices of the last known items of the histories (Rows).
	Newest []int64
}

// NewBatch pads inputs to a batch.
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

// Inputs returns the encoder inputs of examples.
func Inputs(examples []Example) []Input {
	inputs := make([]Input, len(examples))
	for i, e := range examples {
		inputs[i] = e.Input
	}
	return inputs
}

// Targets holds the inputs and labels of the decoder, padded to one length, row by row.
type Targets struct {
	// Length is the number of decoder positions.
	Length int
	// Inputs are the labels shifted to the right, and padded (Rows, Length).
	Inputs []int64
	// Labels are padded with IgnoredLabel (Rows, Length).
	Labels []int64
	// Items are the indices of the target items (Rows).
	Items []int64
}

// NewTargets shifts the labels of examples to the right to get the decoder inputs, as BART does: the
// decoder starts with the end token.
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

// chunkBatches is the number of batches whose examples are sorted by length together: enough that the
// rows of a batch have similar lengths, and few enough that batches are random.
const chunkBatches = 32

// Epoch makes an example of each history and yields them in random order, in batches of similar
// length. The batches are a function of the state of rng.
func Epoch(histories []History, example func(History, *rand.Rand) Example, batchSize int, rng *rand.Rand) iter.Seq[[]Example] {
	return func(yield func([]Example) bool) {
		order := rng.Perm(len(histories))
		for chunk := range slices.Chunk(order, batchSize*chunkBatches) {
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

// BatchesPerEpoch is the number of batches that Epoch yields.
func BatchesPerEpoch(histories, batchSize int) int {
	return (histories + batchSize - 1) / batchSize
}

// CountTokens returns the number of encoder positions and labels of examples, without padding.
func CountTokens(examples []Example) int {
	n := 0
	for _, e := range examples {
		n += e.Positions() + len(e.Labels)
	}
	return n
}
