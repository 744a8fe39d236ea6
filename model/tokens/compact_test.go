package tokens

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestEncode(t *testing.T) {
	c := NewCompact()
	for _, tc := range []struct {
		text   string
		pieces []string
	}{
		{"item_1234", []string{"item", "_", "12", "34"}}, // the paper's example
		{"item_12345", []string{"item", "_", "12", "34", "5"}},
		{"user_00042", []string{"user", "_", "00", "04", "2"}},
		{"item_7", []string{"item", "_", "7"}},
		{"item", []string{"item"}},
		{"shop_x1", []string{"<unk>", "_", "<unk>"}},
	} {
		var want []int64
		for _, piece := range tc.pieces {
			want = append(want, c.ids[piece])
		}
		got := c.Encode(tc.text)
		if !slices.Equal(got, want) {
			t.Errorf("Encode(%q) is %v, want %v %q", tc.text, got, want, tc.pieces)
		}
		if known := !strings.Contains(strings.Join(tc.pieces, ""), "<unk>"); known && c.Decode(got) != tc.text {
			t.Errorf("Decode gives %q back for %q", c.Decode(got), tc.text)
		}
	}
}

func TestSpecialTokensHaveTheirIDs(t *testing.T) {
	c := NewCompact()
	for piece, id := range map[string]int64{"<s>": Begin, "<pad>": Pad, "</s>": End, "<unk>": Unknown, "<mask>": Mask} {
		if c.ids[piece] != id {
			t.Errorf("%s has id %d, want %d", piece, c.ids[piece], id)
		}
	}
}

func TestSaveAndLoadCompact(t *testing.T) {
	dir := t.TempDir()
	if err := NewCompact().Save(dir); err != nil {
		t.Fatal(err)
	}
	if v, err := Load(dir); err != nil || v.Size() != NewCompact().Size() {
		t.Fatalf("Load gives %v (%v), want the compact vocabulary", v, err)
	}
	path := filepath.Join(dir, VocabularyFile)
	if err := os.WriteFile(path, []byte(`{"<s>": 0}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if v, err := Load(dir); err == nil || v != nil || !strings.Contains(err.Error(), path) {
		t.Errorf("another vocabulary: %v, error %v, want nil and an error that names %s", v, err, path)
	}
}
