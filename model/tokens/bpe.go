package tokens

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sugarme/tokenizer/model/bpe"
	"github.com/sugarme/tokenizer/pretokenizer"
)

// BPE is the tokenizer of BART: byte-level byte pair encoding, with the files of a Hugging Face
// folder.
type BPE struct {
	vocabulary, merges []byte // contents of the files

	texts  []string   // by id, as bytes rather than in the file's alphabet for bytes
	mask   int64      // id of <mask>
	bytes  [256]int   // id of each byte
	joined bpe.Merges // result of merging a pair of ids
}

// Size is the number of tokens in the vocabulary.
func (v *BPE) Size() int { return len(v.texts) }

// MaskID is the id of the mask token.
func (v *BPE) MaskID() int64 { return v.mask }

// Encode returns the same ids as Hugging Face's BartTokenizer with add_special_tokens=False,
// add_prefix_space=False and split_special_tokens=True: if the id of a user or item contains "<mask>",
// that is text and not the mask token. Bytes that are not UTF-8 are kept and count as symbols. The
// time is quadratic in the length of the longest word.
func (v *BPE) Encode(text string) []int64 {
	ids := make([]int64, 0, 8)
	for len(text) > 0 {
		n := wordLength(text)
		ids = v.appendWord(ids, text[:n])
		text = text[n:]
	}
	return ids
}

// Decode returns the concatenated texts of the tokens, including special tokens. It is not valid UTF-8
// if the ids end within a character.
func (v *BPE) Decode(ids []int64) string { return decode(v.texts, ids) }

// appendWord merges the pair of symbols that is first in the list of merges, and the leftmost of equal
// pairs, until no pair can be merged. The loop of the library takes equal pairs in the order of its
// heap, which splits 10222 into 102 22 instead of BART's 10 222.
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

// noMerge ranks after every merge.
var noMerge = bpe.PairVal{Rank: math.MaxInt}

func (v *BPE) merge(left, right bpe.Symbol) bpe.PairVal {
	if m, found := v.joined[bpe.Pair{C1: left.C, C2: right.C}]; found {
		return m
	}
	return noMerge
}

// LoadBPE reads vocab.json and merges.txt from a folder. The vocabulary must have BART's special
// tokens, with <s>, <pad>, </s> and <unk> as 0 to 3, a token for every byte, and ids without gaps.
func LoadBPE(dir string) (*BPE, error) {
	vocabulary, merges := filepath.Join(dir, VocabularyFile), filepath.Join(dir, MergesFile)
	var v BPE
	var err error
	if v.vocabulary, err = readFile(vocabulary); err != nil {
		return nil, fmt.Errorf("read vocabulary: %w", err)
	}
	if v.merges, err = readFile(merges); err != nil {
		return nil, fmt.Errorf("read merges: %w", err)
	}
	ids, err := v.parseVocabulary()
	if err != nil {
		return nil, fmt.Errorf("vocabulary %s: %w", vocabulary, err)
	}
	if err := v.parseMerges(ids); err != nil {
		return nil, fmt.Errorf("merges %s: %w", merges, err)
	}
	return &v, nil
}

// Save writes the files byte for byte as they were loaded.
func (v *BPE) Save(dir string) error {
	if err := writeFile(dir, VocabularyFile, v.vocabulary); err != nil {
		return err
	}
	return writeFile(dir, MergesFile, v.merges)
}

func (v *BPE) parseVocabulary() (ids map[string]int, err error) {
	if err := json.Unmarshal(v.vocabulary, &ids); err != nil {
		return nil, fmt.Errorf("not a JSON object of tokens and ids: %w", err)
	}
	for want, token := range specials {
		switch id, known := ids[token]; {
		case !known:
			return nil, fmt.Errorf("token %q is missing", token)
		case want != Mask && id != want:
			return nil, fmt.Errorf("token %q has id %d, want %d as in BART", token, id, want)
		}
	}
	v.mask = int64(ids[specials[Mask]])
	tokens := make([]string, len(ids))
	used := make([]bool, len(ids))
	for token, id := range ids {
		if id < 0 || id >= len(ids) {
			return nil, fmt.Errorf("token %q has id %d, but there are %d tokens", token, id, len(ids))
		}
		if used[id] {
			return nil, fmt.Errorf("tokens %q and %q have the same id %d", tokens[id], token, id)
		}
		tokens[id], used[id] = token, true
	}
	for b := range v.bytes {
		char := pretokenizer.BytesChar[byte(b)]
		id, known := ids[char]
		if !known {
			return nil, fmt.Errorf("token %q of byte %#02x is missing", char, b)
		}
		v.bytes[b] = id
	}
	v.texts = make([]string, len(tokens))
	for id, token := range tokens {
		v.texts[id] = textOf(token)
	}
	return ids, nil
}

// textOf decodes a token from the alphabet in which the file writes bytes. A token with other
// characters, which no merge results in, is taken literally, as by Hugging Face.
func textOf(token string) string {
	text := make([]byte, 0, len(token))
	for _, char := range token {
		b, known := pretokenizer.CharBytes[string(char)]
		if !known {
			return token
		}
		text = append(text, b)
	}
	return string(text)
}

func (v *BPE) parseMerges(ids map[string]int) error {
	v.joined = make(bpe.Merges)
	number := 0
	for line := range strings.Lines(string(v.merges)) {
		number++
		line = strings.TrimRight(line, "\r\n")
		if strings.HasPrefix(line, "#version") {
			continue
		}
		left, right, two := strings.Cut(line, " ")
		if !two || left == "" || right == "" || strings.Contains(right, " ") {
			return fmt.Errorf("line %d: %q is not two tokens separated by a space", number, line)
		}
		for _, token := range [...]string{left, right, left + right} {
			if _, known := ids[token]; !known {
				return fmt.Errorf("line %d: token %q of the merge %q is missing from the vocabulary", number, token, line)
			}
		}
		merged := ids[left+right]
		if merged <= Unknown || int64(merged) == v.mask {
			return fmt.Errorf("line %d: the merge %q results in a special token", number, line)
		}
		pair := bpe.Pair{C1: ids[left], C2: ids[right]}
		if _, known := v.joined[pair]; known {
			return fmt.Errorf("line %d: the merge %q is listed twice", number, line)
		}
		v.joined[pair] = bpe.PairVal{Rank: number, NewId: merged}
	}
	if len(v.joined) == 0 {
		return errors.New("no merges")
	}
	return nil
}
