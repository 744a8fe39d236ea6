package tokens

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestCodedEncode(t *testing.T) {
	c, err := NewCoded(3, 256)
	if err != nil {
		t.Fatal(err)
	}
	if want := len(specials) + 1 + 3*256; c.Size() != want {
		t.Errorf("%d tokens, want %d: the specials, user and 256 numbers for each of three levels", c.Size(), want)
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

func FuzzCodedEncode(f *testing.F) {
	c, err := NewCoded(2, 16)
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
			t.Errorf("%q reads tokens that write %q", text, got)
		}
	})
}

func TestCodedIsReadBack(t *testing.T) {
	dir := t.TempDir()
	c, err := NewCoded(2, 16)
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
	if loaded, ok := v.(*Coded); !ok || !slices.Equal(loaded.pieces, c.pieces) {
		t.Errorf("a vocabulary of codes came back as %T with %d tokens, want the same %d", v, v.Size(), c.Size())
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
		t.Errorf("two pieces changed places: error %v, want one that names %s", err, path)
	}
}

func TestCodedRefusesImpossibleShapes(t *testing.T) {
	for _, shape := range [][2]int{{0, 256}, {27, 256}, {2, 0}} {
		if _, err := NewCoded(shape[0], shape[1]); err == nil {
			t.Errorf("%d levels of %d numbers were accepted", shape[0], shape[1])
		}
	}
}
