package tokens

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
)

// Special tokens, numbered as in BART's vocabulary; Mask follows them here
// because the compact vocabulary is small. A BPE has it elsewhere, see MaskID.
const (
	Begin   = 0 // <s>
	Pad     = 1 // <pad>
	End     = 2 // </s>, also the token that the decoder starts from
	Unknown = 3 // <unk>
	Mask    = 4 // <mask>
)

var specials = [...]string{Begin: "<s>", Pad: "<pad>", End: "</s>", Unknown: "<unk>", Mask: "<mask>"}

// pieceTable is what the vocabularies of this package's own have in common: the
// pieces in the order of their ids.
type pieceTable struct {
	pieces []string
	ids    map[string]int64
}

func newPieceTable(pieces []string) pieceTable {
	t := pieceTable{pieces: pieces, ids: make(map[string]int64, len(pieces))}
	for id, piece := range pieces {
		t.ids[piece] = int64(id)
	}
	return t
}

// loadPieces reads a vocabulary of this package's own, and refuses one that numbers
// its pieces otherwise.
func loadPieces(dir string) (Vocabulary, error) {
	path := filepath.Join(dir, VocabularyFile)
	data, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("read vocabulary: %w", err)
	}
	var ids map[string]int64
	if err := json.Unmarshal(data, &ids); err != nil {
		return nil, fmt.Errorf("decode vocabulary %s: %w", path, err)
	}
	if c := NewCompact(); maps.Equal(ids, c.ids) {
		return c, nil
	}
	if c := codedFrom(ids); c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("vocabulary %s is neither the compact one nor one of codes, and there is no %s beside it: retrain with this release",
		path, MergesFile)
}

// Save writes the vocabulary as JSON, piece to id, like BART's vocab.json.
func (t pieceTable) Save(dir string) error {
	data, err := json.MarshalIndent(t.ids, "", " ")
	if err != nil {
		return fmt.Errorf("encode vocabulary: %w", err)
	}
	return writeFile(dir, VocabularyFile, append(data, '\n'))
}

// Size is the number of tokens in the vocabulary.
func (t pieceTable) Size() int { return len(t.pieces) }

// MaskID is the id of the mask token.
func (t pieceTable) MaskID() int64 { return Mask }

// Decode writes token ids as text, one piece after the other.
func (t pieceTable) Decode(ids []int64) string { return decode(t.pieces, ids) }

func (t pieceTable) id(piece string) int64 {
	if id, known := t.ids[piece]; known {
		return id
	}
	return Unknown
}
