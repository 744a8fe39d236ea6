package tokens

import (
	"math"
	"slices"

	"github.com/sugarme/tokenizer/model/bpe"
)

// BPE is BART's vocabulary: byte-level byte pair encoding, from the files that
// Hugging Face ships.
type BPE struct {
	vocabulary, merges []byte // the files

	texts  []string   // by id, as bytes rather than in BART's alphabet for them
	mask   int64      // the id of <mask>
	bytes  [256]int   // the id of each byte
	joined bpe.Merges // what a pair of ids becomes
}

// Size is the number of tokens in the vocabulary.
func (v *BPE) Size() int { return len(v.texts) }

// MaskID is the id of the mask token.
func (v *BPE) MaskID() int64 { return v.mask }

// Encode gives the ids that Hugging Face's BartTokenizer gives with
// add_special_tokens=False, add_prefix_space=False and split_special_tokens=True:
// a user's or an item's id may contain "<mask>", which is text like any other and
// never the mask token. Bytes that are not UTF-8 are kept and count as symbols.
// The time grows with the square of the longest word.
func (v *BPE) Encode(text string) []int64 {
	ids := make([]int64, 0, 8)
	for len(text) > 0 {
		n := wordLength(text)
		ids = v.appendWord(ids, text[:n])
		text = text[n:]
	}
	return ids
}

// Decode writes token ids as text, one after the other, special tokens too. The
// text is not UTF-8 where the ids cut a character.
func (v *BPE) Decode(ids []int64) string { return decode(v.texts, ids) }

// appendWord joins the pair that comes first in the merges, the leftmost of
// equals, until no pair is left. The library's own loop takes equals in the order
// of its heap, which gives BART 102 22 for 10222 instead of 10 222.
func (v *BPE) appendWord(ids []int64, word string) []int64 {
	symbols := make(bpe.Symbols, len(word))
	for i := range len(word) {
		symbols[i].C = v.bytes[word[i]]
	}
	merges := make([]bpe.PairVal, len(word)-1) // of each symbol and the next one
	for i := range merges {
		merges[i] = v.merge(symbols[i], symbols[i+1])
	}
	for len(merges) > 0 {
		first := 0
		for i, m := range merges {
			if m.Rank < merges[first].Rank {
				first = i
			}
		}
		if merges[first] == noMerge {
			break
		}
		symbols[first].MergeWith(&symbols[first+1], merges[first].NewId)
		symbols = slices.Delete(symbols, first+1, first+2)
		merges = slices.Delete(merges, first, first+1)
		for i := max(first-1, 0); i <= first && i < len(merges); i++ {
			merges[i] = v.merge(symbols[i], symbols[i+1])
		}
	}
	for _, s := range symbols {
		ids = append(ids, int64(s.C))
	}
	return ids
}

// noMerge comes after every merge.
var noMerge = bpe.PairVal{Rank: math.MaxInt}

func (v *BPE) merge(left, right bpe.Symbol) bpe.PairVal {
	if m, found := v.joined[bpe.Pair{C1: left.C, C2: right.C}]; found {
		return m
	}
	return noMerge
}
