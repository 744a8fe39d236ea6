package tokens

import (
	"os"
	"path/filepath"
	"testing"
)

func FuzzLoad(f *testing.F) {
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join("testdata", "bpe", name))
		if err != nil {
			f.Fatal(err)
		}
		return data
	}
	vocabulary, merges := read(VocabularyFile), read(MergesFile)
	f.Add(vocabulary, merges)
	f.Add(vocabulary, []byte("a b"))
	f.Add([]byte(`{"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 4}`), []byte(nil))
	f.Fuzz(func(t *testing.T, vocabulary, merges []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, VocabularyFile), vocabulary, 0o600); err != nil {
			t.Fatal(err)
		}
		if len(merges) > 0 { // otherwise a fixed vocabulary
			if err := os.WriteFile(filepath.Join(dir, MergesFile), merges, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		v, err := Load(dir)
		if err != nil {
			return
		}
		if v.MaskID() < 0 || v.MaskID() >= int64(v.Size()) {
			t.Fatalf("the mask is token %d of %d", v.MaskID(), v.Size())
		}
		for _, id := range v.Encode("user_1 item_22") {
			if id < 0 || id >= int64(v.Size()) {
				t.Fatalf("token %d of %d", id, v.Size())
			}
		}
	})
}
