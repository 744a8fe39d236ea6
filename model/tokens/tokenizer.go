// Package tokens converts the texts of users and items to the token ids that the model reads and
// writes, and back.
//
// There are three tokenizers: BPE is that of BART, for models that start from its weights. Digits and
// Codes have small fixed vocabularies, for models that are trained from scratch: they split the texts
// `user_NUMBER` and `item_NUMBER` into pairs of digits, and item codes into one token for each level.
// Load recognizes which one wrote a folder.
//
// A Trie holds the token sequences of all items. It constrains the beam search to these sequences.
package tokens

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Ids of the special tokens, as in BART's vocabulary. Mask is that of Digits and Codes; for any
// tokenizer, see Tokenizer.MaskID.
const (
	Begin   = 0 // <s>
	Pad     = 1 // <pad>
	End     = 2 // </s>, also the token with which the decoder starts
	Unknown = 3 // <unk>
	Mask    = 4 // <mask>
)

var specials = [...]string{Begin: "<s>", Pad: "<pad>", End: "</s>", Unknown: "<unk>", Mask: "<mask>"}

// Names of the files of a tokenizer in a model's folder. Only a BPE has merges.
const (
	VocabularyFile = "vocab.json"
	MergesFile     = "merges.txt"
)

// maxFileBytes bounds the size of a file. Those of BART have 1 MB together.
const maxFileBytes = 16 << 20

// Tokenizer converts texts to token ids and back. It is safe for concurrent use.
type Tokenizer interface {
	// Encode returns the ids of a text, without begin and end tokens.
	Encode(text string) []int64
	// Decode returns the text of token ids; an id outside of the vocabulary is "<unk>".
	Decode(ids []int64) string
	// Size is the number of tokens in the vocabulary; their ids are 0 to Size-1.
	Size() int
	// MaskID is the id of the mask token.
	MaskID() int64
	// Save writes the tokenizer's files to a folder.
	Save(dir string) error
}

// Load reads a tokenizer from the files that Save has written to a folder: a BPE if there are merges,
// otherwise Digits or Codes.
func Load(dir string) (t Tokenizer, err error) {
	switch _, missing := os.Stat(filepath.Join(dir, MergesFile)); {
	case missing == nil:
		t, err = LoadBPE(dir)
	case errors.Is(missing, fs.ErrNotExist):
		t, err = loadFixed(dir)
	default:
		err = fmt.Errorf("look for merges: %w", missing)
	}
	if err != nil {
		return nil, err // rather than an interface that holds a nil pointer
	}
	return t, nil
}

// decode concatenates the texts of tokens, which are in the order of their ids.
func decode(texts []string, ids []int64) string {
	var b strings.Builder
	for _, id := range ids {
		if id < 0 || id >= int64(len(texts)) {
			id = Unknown
		}
		b.WriteString(texts[id])
	}
	return b.String()
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFileBytes {
		return nil, fmt.Errorf("%s has more than %d bytes, too many for a vocabulary", path, maxFileBytes)
	}
	return data, nil
}

func writeFile(dir, name string, data []byte) error {
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
		return fmt.Errorf("write vocabulary: %w", err)
	}
	return nil
}
