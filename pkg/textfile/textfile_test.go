package textfile

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"
	"unicode/utf8"
)

func encodeUTF16(text string, bigEndian bool) string {
	var out []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		if bigEndian {
			out = append(out, byte(unit>>8), byte(unit))
		} else {
			out = append(out, byte(unit), byte(unit>>8))
		}
	}
	return string(out)
}

func TestScanner(t *testing.T) {
	const list = "alice\nbob \n\n  carol\n\"dave\"\n\"e \"\"x\"\"\"\nfrançois"
	want := []string{"alice", "bob", "carol", "dave", `e "x"`, "françois"}
	for name, text := range map[string]string{
		"Unix":               list,
		"byte order mark":    "\ufeff" + list,
		"Windows":            "\ufeff" + strings.ReplaceAll(list, "\n", "\r\n") + "\r\n",
		"classic Mac":        strings.ReplaceAll(list, "\n", "\r"),
		"UTF-16":             encodeUTF16("\ufeff"+strings.ReplaceAll(list, "\n", "\r\n"), false),
		"UTF-16, big endian": encodeUTF16("\ufeff"+list, true),
		"trailing tabs":      strings.ReplaceAll(list, "\n", "\t\n"),
		"no-break spaces":    strings.ReplaceAll(list, "\n", "\u00a0\n"),
	} {
		for _, in := range []io.Reader{strings.NewReader(text), iotest.OneByteReader(strings.NewReader(text))} {
			s := NewScanner(in, DefaultMaxLine)
			var got []string
			for s.Scan() {
				got = append(got, s.Unquoted())
			}
			if !slices.Equal(got, want) || s.Err() != nil {
				t.Errorf("%s: got %q, error %v, want %q", name, got, s.Err(), want)
			}
			if s.Line() != 7 {
				t.Errorf("%s: the last entry is in line %d, want 7", name, s.Line())
			}
		}
	}
}

func TestUnquote(t *testing.T) {
	for text, want := range map[string]string{
		`a"b`: `a"b`, `"a`: `"a`, `"`: `"`, `""`: "", `"a" and "b"`: `"a" and "b"`, `" a "`: " a ", `"""a"""`: `"a"`,
	} {
		if got := unquote(text); got != want {
			t.Errorf("%s is unquoted to %s, want %s", text, got, want)
		}
	}
}

func TestScannerErrors(t *testing.T) {
	broken := errors.New("broken disk")
	for _, c := range []struct {
		in   io.Reader
		want string
	}{
		{strings.NewReader("a\n\xe9\nb"), "line 2: is not UTF-8"},
		{strings.NewReader("\xff\xfea\x00\n\x00\x00\xdc"), "line 2: is not UTF-8"},
		{strings.NewReader("a\x00\n\x00b\x00"), "save it as UTF-8"},
		{strings.NewReader("a\n" + strings.Repeat("x", 2*DefaultMaxLine)), "line 2: bufio.Scanner: token too long"},
		{io.MultiReader(strings.NewReader("a\n"), iotest.ErrReader(broken)), broken.Error()},
	} {
		s := NewScanner(c.in, DefaultMaxLine)
		for s.Scan() {
			if s.Text() != "a" {
				t.Errorf("want %q: got the entry %q", c.want, s.Text())
			}
		}
		if err := s.Err(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got error %v, want %q", err, c.want)
		}
	}
}

func TestDecode(t *testing.T) {
	for text, want := range map[string]string{
		"secret\n": "secret", "\ufeffsecret \r\n": "secret", encodeUTF16("\ufeffsecret\r\n", false): "secret", "\n": "", `"quoted"`: `"quoted"`,
	} {
		if got, err := Decode([]byte(text)); got != want || err != nil {
			t.Errorf("%q is decoded to %q, error %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"\xe9t\xe9", "a\x00b\x00"} {
		if got, err := Decode([]byte(text)); err == nil {
			t.Errorf("%q is decoded to %q", text, got)
		}
	}
}

// Entries have no line ends, and no line is lost.
func FuzzScanner(f *testing.F) {
	f.Add([]byte("\ufeffalice\r\nbob \rcarol\n\n\"dave\""))
	f.Add([]byte(encodeUTF16("\ufeffalice\r\nbob", false)))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := NewScanner(bytes.NewReader(data), DefaultMaxLine)
		var got []string
		for s.Scan() {
			if s.Text() == "" || strings.ContainsAny(s.Text(), "\r\n") || !utf8.ValidString(s.Text()) {
				t.Fatalf("%q has the entry %q", data, s.Text())
			}
			got = append(got, s.Text())
		}
		if len(data) < 2 || data[0] >= 0xfe || data[0] == 0xef || s.Err() != nil {
			return
		}
		var want []string
		for line := range strings.FieldsFuncSeq(string(data), func(r rune) bool { return r == '\r' || r == '\n' }) {
			if line = strings.TrimSpace(line); line != "" {
				want = append(want, line)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%q has the entries %q, want %q", data, got, want)
		}
	})
}
