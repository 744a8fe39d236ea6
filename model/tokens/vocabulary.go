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

// Names of a vocabulary's files in a model's folder. Only a BPE has merges.
const (
	VocabularyFile = "vocab.json"
	MergesFile     = "merges.txt"
)

// maxFileBytes bounds a vocabulary's file; those of BART have 1 MB together.
const maxFileBytes = 16 << 20

// Vocabulary is the text side of a model: what it reads and writes, as token ids.
// It is safe for concurrent use.
type Vocabulary interface {
	// Encode gives the ids of a text, without begin and end tokens.
	Encode(text string) []int64
	// Decode writes token ids as text; an id outside the vocabulary is "<unk>".
	Decode(ids []int64) string
	// Size is the number of tokens; their ids are 0 to Size-1.
	Size() int
	// MaskID is the id of the mask token.
	MaskID() int64
	// Save writes the vocabulary's files into a folder.
	Save(dir string) error
}

// Load reads what Save wrote: a BPE where the folder holds merges, otherwise the
// compact vocabulary or one of codes.
func Load(dir string) (v Vocabulary, err error) {
	switch _, missing := os.Stat(filepath.Join(dir, MergesFile)); {
	case missing == nil:
		v, err = LoadBPE(dir)
	case errors.Is(missing, fs.ErrNotExist):
		v, err = loadPieces(dir)
	default:
		err = fmt.Errorf("look for merges: %w", missing)
	}
	if err != nil {
		return nil, err // without the type of a nil pointer
	}
	return v, nil
}

// decode writes the texts of ids, which are their places, one after the other.
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
