package tokens

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const fixture = "testdata/bpe"

func loadFixture(t testing.TB) *BPE {
	t.Helper()
	v, err := LoadBPE(fixture)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// reference is the result of Hugging Face for a text, see testdata/bpe/make.py.
type reference struct {
	Text  string
	Words []string
	IDs   []int64
}

func references(t testing.TB) (all []reference) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(fixture, "ids.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestBPEAgreesWithHuggingFace(t *testing.T) {
	v, all := loadFixture(t), references(t)
	if len(all) < 300 {
		t.Fatalf("%d texts to compare, want 300: run %s/make.py", len(all), fixture)
	}
	for _, want := range all {
		if got := v.Encode(want.Text); !slices.Equal(got, want.IDs) {
			t.Errorf("Encode(%q) is %v, want %v", want.Text, got, want.IDs)
		}
		if got := v.Decode(want.IDs); got != want.Text {
			t.Errorf("Decode gives %q back for %q", got, want.Text)
		}
	}
}

func TestPretokenizationAgreesWithHuggingFace(t *testing.T) {
	for _, want := range references(t) {
		var got []string
		for rest := want.Text; rest != ""; {
			n := wordLength(rest)
			got, rest = append(got, rest[:n]), rest[n:]
		}
		if !slices.Equal(got, want.Words) {
			t.Errorf("the words of %q are %q, want %q", want.Text, got, want.Words)
		}
	}
}

func TestBPESpecialTokens(t *testing.T) {
	v := loadFixture(t)
	if v.Size() != 1000 || v.MaskID() != 999 {
		t.Errorf("size %d and mask %d, want 1000 and 999", v.Size(), v.MaskID())
	}
	special := []int64{Begin, Pad, End, Unknown, v.MaskID()}
	for id, text := range map[int64]string{Begin: "<s>", Pad: "<pad>", End: "</s>", v.MaskID(): "<mask>", -1: "<unk>", 1000: "<unk>"} {
		if got := v.Decode([]int64{id}); got != text {
			t.Errorf("id %d reads %q, want %q", id, got, text)
		}
		for _, id := range v.Encode("item_" + text) {
			if slices.Contains(special, id) {
				t.Errorf("the text item_%s holds the special token %d: a user could write control tokens", text, id)
			}
		}
	}
}

func TestBPEIsSafeForConcurrentUse(t *testing.T) {
	v, all := loadFixture(t), references(t)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for _, want := range all {
				if got := v.Encode(want.Text); !slices.Equal(got, want.IDs) {
					t.Errorf("Encode(%q) is %v, want %v", want.Text, got, want.IDs)
				}
			}
		})
	}
	group.Wait()
}

func TestSaveBPEKeepsTheFiles(t *testing.T) {
	dir := t.TempDir()
	v, err := Load(fixture)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Save(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{VocabularyFile, MergesFile} {
		want, _ := os.ReadFile(filepath.Join(fixture, name))
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != string(want) {
			t.Errorf("%s was saved with other bytes than it was loaded with (%v)", name, err)
		}
	}
	if again, err := Load(dir); err != nil || !slices.Equal(again.Encode("item_12345"), v.Encode("item_12345")) {
		t.Errorf("the saved vocabulary loads as %v (%v), want the same ids", again, err)
	}
	if err := v.Save(filepath.Join(dir, "missing")); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("save into a missing folder: error %v, want one that names it", err)
	}
}

func TestLoadBPERejectsInvalidFiles(t *testing.T) {
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join(fixture, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	vocabulary, merges := read(VocabularyFile), read(MergesFile)
	swap := func(text, old, now string) string {
		if !strings.Contains(text, old) {
			t.Fatalf("the fixture lacks %s", old)
		}
		return strings.Replace(text, old, now, 1)
	}
	for _, tc := range []struct{ name, vocabulary, merges, says string }{
		{"truncated", vocabulary[:5000], merges, "vocab.json: not a JSON object of tokens and ids: unexpected end of JSON input"},
		{"empty vocabulary", "", merges, "vocab.json: not a JSON object of tokens and ids"},
		{"null", "null", merges, `vocab.json: token "<s>" is missing`},
		{"a list", `["<s>"]`, merges, "vocab.json: not a JSON object of tokens and ids"},
		{"fractional id", swap(vocabulary, `"!": 4`, `"!": 4.5`), merges, "vocab.json: not a JSON object of tokens and ids"},
		{"no mask", swap(vocabulary, `"<mask>"`, `"mask"`), merges, `vocab.json: token "<mask>" is missing`},
		{
			"special tokens in another order", swap(swap(vocabulary, `"<s>": 0`, `"<s>": 1`), `"<pad>": 1`, `"<pad>": 0`), merges,
			`vocab.json: token "<s>" has id 1, want 0 as in BART`,
		},
		{"duplicate id", swap(vocabulary, `"!": 4`, `"!": 5`), merges, " have the same id 5"},
		{"gap", swap(vocabulary, `"!": 4`, `"!": 1000`), merges, `vocab.json: token "!" has id 1000, but there are 1000 tokens`},
		{"negative id", swap(vocabulary, `"!": 4`, `"!": -4`), merges, `vocab.json: token "!" has id -4`},
		{"no token for a byte", swap(vocabulary, `"!": 4`, `"!!": 4`), merges, `vocab.json: token "!" of byte 0x21 is missing`},
		{"huge vocabulary", strings.Repeat(" ", maxFileBytes+1), merges, "vocab.json has more than 16777216 bytes"},
		{"huge merges", vocabulary, strings.Repeat(" ", maxFileBytes+1), "merges.txt has more than 16777216 bytes"},
		{"empty merges", vocabulary, "", "merges.txt: no merges"},
		{"merges with only a header", vocabulary, "#version: 0.2\n", "merges.txt: no merges"},
		{"one token", vocabulary, "#version: 0.2\nem\n", `merges.txt: line 2: "em" is not two tokens`},
		{"three tokens", vocabulary, "e m i\n", `merges.txt: line 1: "e m i" is not two tokens`},
		{"blank line", vocabulary, "e m\n\ni t\n", `merges.txt: line 2: "" is not two tokens`},
		{"result that is not in the vocabulary", vocabulary, "e m\n! !\n", `merges.txt: line 2: token "!!" of the merge "! !" is missing from the vocabulary`},
		{"part that is not in the vocabulary", vocabulary, "€ m\n", `merges.txt: line 1: token "€" of the merge "€ m" is missing from the vocabulary`},
		{"repeated merge", vocabulary, "e m\ni t\ne m\n", `merges.txt: line 3: the merge "e m" is listed twice`},
		{"merge of a special token", swap(vocabulary, `"em"`, `"s>"`), "< s>\n", `merges.txt: line 1: the merge "< s>" results in a special token`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range map[string]string{VocabularyFile: tc.vocabulary, MergesFile: tc.merges} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			v, err := Load(dir)
			if err == nil || v != nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("Load gives %v, error %v, want nil and an error that names the folder and says %s", v, err, tc.says)
			}
		})
	}
}

func TestLoadNamesTheMissingFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, MergesFile), []byte("e m\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{dir, t.TempDir()} {
		path := filepath.Join(folder, VocabularyFile)
		if _, err := Load(folder); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("error %v, want one that names %s", err, path)
		}
	}
}

// CRLF line ends, and a last line without a line end, are accepted.
func TestLoadReadsOtherLineEnds(t *testing.T) {
	dir := t.TempDir()
	v := loadFixture(t)
	v.merges = []byte(strings.ReplaceAll(strings.TrimSpace(string(v.merges)), "\n", "\r\n"))
	if err := v.Save(dir); err != nil {
		t.Fatal(err)
	}
	if again, err := LoadBPE(dir); err != nil || len(again.joined) != len(v.joined) {
		t.Errorf("error %v, want as many merges as before", err)
	}
}

func FuzzBPERoundTrip(f *testing.F) {
	for _, r := range references(f) {
		f.Add([]byte(r.Text))
	}
	f.Add([]byte("a\xff\xfe b\xe6\x97"))
	v := loadFixture(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		ids := v.Encode(string(text))
		if got := v.Decode(ids); got != string(text) {
			t.Errorf("Decode gives %q back for %q", got, text)
		}
		if len(ids) > len(text) {
			t.Errorf("%d ids for the %d bytes of %q", len(ids), len(text), text)
		}
	})
}

func BenchmarkBPEEncode(b *testing.B) {
	v := loadFixture(b)
	b.ReportAllocs()
	for b.Loop() {
		v.Encode("item_12345")
	}
}
