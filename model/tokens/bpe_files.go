package tokens

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/sugarme/tokenizer/model/bpe"
	"github.com/sugarme/tokenizer/pretokenizer"
)

// LoadBPE reads vocab.json and merges.txt from a folder. The vocabulary must have
// BART's special tokens, <s>, <pad>, </s> and <unk> as 0 to 3, a token for every
// byte, and ids without gaps.
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
		return nil, fmt.Errorf("vocabulary %s %w", vocabulary, err)
	}
	if err := v.parseMerges(ids); err != nil {
		return nil, fmt.Errorf("merges %s %w", merges, err)
	}
	return &v, nil
}

// Save writes the files as they were loaded.
func (v *BPE) Save(dir string) error {
	if err := writeFile(dir, VocabularyFile, v.vocabulary); err != nil {
		return err
	}
	return writeFile(dir, MergesFile, v.merges)
}

func (v *BPE) parseVocabulary() (ids map[string]int, err error) {
	if err := json.Unmarshal(v.vocabulary, &ids); err != nil {
		return nil, fmt.Errorf("is not a JSON object of tokens and ids: %w", err)
	}
	for want, token := range specials {
		switch id, known := ids[token]; {
		case !known:
			return nil, fmt.Errorf("lacks the token %q", token)
		case want != Mask && id != want:
			return nil, fmt.Errorf("gives the token %q id %d, not BART's %d", token, id, want)
		}
	}
	v.mask = int64(ids[specials[Mask]])
	tokens := make([]string, len(ids))
	owned := make([]bool, len(ids))
	for token, id := range ids {
		if id < 0 || id >= len(ids) {
			return nil, fmt.Errorf("gives the token %q id %d, but has %d tokens", token, id, len(ids))
		}
		if owned[id] {
			return nil, fmt.Errorf("gives id %d to the tokens %q and %q", id, tokens[id], token)
		}
		tokens[id], owned[id] = token, true
	}
	for b := range v.bytes {
		char := pretokenizer.BytesChar[byte(b)]
		id, known := ids[char]
		if !known {
			return nil, fmt.Errorf("lacks the token %q of byte %#02x", char, b)
		}
		v.bytes[b] = id
	}
	v.texts = make([]string, len(tokens))
	for id, token := range tokens {
		v.texts[id] = textOf(token)
	}
	return ids, nil
}

// textOf writes a token's characters as the bytes they stand for. A token with
// another character, which no merge makes, is its own text, as at Hugging Face.
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
			return fmt.Errorf("line %d: %q is not two tokens with a blank between them", number, line)
		}
		for _, token := range [...]string{left, right, left + right} {
			if _, known := ids[token]; !known {
				return fmt.Errorf("line %d: the vocabulary lacks the token %q of the merge %q", number, token, line)
			}
		}
		made := ids[left+right]
		if made <= Unknown || int64(made) == v.mask {
			return fmt.Errorf("line %d: the merge %q makes a special token", number, line)
		}
		pair := bpe.Pair{C1: ids[left], C2: ids[right]}
		if _, known := v.joined[pair]; known {
			return fmt.Errorf("line %d: the merge %q stands twice", number, line)
		}
		v.joined[pair] = bpe.PairVal{Rank: number, NewId: made}
	}
	if len(v.joined) == 0 {
		return errors.New("hold no merges")
	}
	return nil
}
