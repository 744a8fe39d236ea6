package tokens

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestDigitsEncode(t *testing.T) {
	c := NewDigits()
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

func TestFixedSpecialTokens(t *testing.T) {
	c := NewDigits()
	for piece, id := range map[string]int64{"<s>": Begin, "<pad>": Pad, "</s>": End, "<unk>": Unknown, "<mask>": Mask} {
		if c.ids[piece] != id {
			t.Errorf("%s has id %d, want %d", piece, c.ids[piece], id)
		}
	}
}

func TestSaveAndLoadDigits(t *testing.T) {
	dir := t.TempDir()
	if err := NewDigits().Save(dir); err != nil {
		t.Fatal(err)
	}
	if v, err := Load(dir); err != nil || v.Size() != NewDigits().Size() {
		t.Fatalf("Load gives %v (%v), want that of digits", v, err)
	}
	path := filepath.Join(dir, VocabularyFile)
	if err := os.WriteFile(path, []byte(`{"<s>": 0}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if v, err := Load(dir); err == nil || v != nil || !strings.Contains(err.Error(), path) {
		t.Errorf("another vocabulary: %v, error %v, want nil and an error that names %s", v, err, path)
	}
}

func TestCodesEncode(t *testing.T) {
	c, err := NewCodes(3, 256)
	if err != nil {
		t.Fatal(err)
	}
	if want := len(specials) + 1 + 3*256; c.Size() != want {
		t.Errorf("%d tokens, want %d: special tokens, user and 256 numbers for each of three levels", c.Size(), want)
	}
	for _, test := range []struct {
		text   string
		pieces []string
	}{
		{"a0b0c0", []string{"a0", "b0", "c0"}},
		{"a7b201c255", []string{"a7", "b201", "c255"}},
		{"user", []string{"user"}},
		{"a256b1", []string{"<unk>", "b1"}},
		{"d1", []string{"<unk>"}},
		{"", nil},
	} {
		var got []string
		for _, id := range c.Encode(test.text) {
			got = append(got, c.Decode([]int64{id}))
		}
		if !slices.Equal(got, test.pieces) {
			t.Errorf("%q reads %v, want %v", test.text, got, test.pieces)
		}
	}
}

func FuzzCodesEncode(f *testing.F) {
	c, err := NewCodes(2, 16)
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{"a1b2", "user", "", "12", "a", "日本", "a1b", "\xff3"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ids := c.Encode(text)
		for _, id := range ids {
			if id < 0 || id >= int64(c.Size()) {
				t.Errorf("%q reads token %d, the vocabulary has %d", text, id, c.Size())
			}
		}
		if got := c.Decode(ids); !slices.Contains(ids, Unknown) && got != text {
			t.Errorf("%q is decoded as %q", text, got)
		}
	})
}

func TestSaveAndLoadCodes(t *testing.T) {
	dir := t.TempDir()
	c, err := NewCodes(2, 16)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Save(dir); err != nil {
		t.Fatal(err)
	}
	v, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if loaded, ok := v.(*Codes); !ok || !slices.Equal(loaded.tokens, c.tokens) {
		t.Errorf("a vocabulary of codes is loaded as %T with %d tokens, want the same %d", v, v.Size(), c.Size())
	}

	path := filepath.Join(dir, VocabularyFile)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	swapped := strings.NewReplacer(`"a1"`, `"a2"`, `"a2"`, `"a1"`).Replace(string(data))
	if err := os.WriteFile(path, []byte(swapped), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("two swapped tokens: error %v, want one that names %s", err, path)
	}
}

func TestNewCodesRejectsInvalidShapes(t *testing.T) {
	for _, shape := range [][2]int{{0, 256}, {27, 256}, {2, 0}} {
		if _, err := NewCodes(shape[0], shape[1]); err == nil {
			t.Errorf("%d levels of %d numbers were accepted", shape[0], shape[1])
		}
	}
}
