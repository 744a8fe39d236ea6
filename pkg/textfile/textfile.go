// Package textfile reads lists that people keep in text files, one entry a line, whatever
// program saved them: with a byte order mark or without, in UTF-8 or UTF-16, with the line ends
// of any system, with blanks around an entry or quotes as spreadsheets write them.
package textfile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/unicode"
)

// DefaultMaxLine bounds a line in bytes.
const DefaultMaxLine = 64 << 10

// Scanner reads the entries of a file. Empty lines are skipped.
type Scanner struct {
	lines  *bufio.Scanner
	number int
	text   string
	err    error
}

// NewScanner returns a Scanner of lines of at most maxLine bytes.
func NewScanner(in io.Reader, maxLine int) *Scanner {
	decoded, err := decode(in)
	s := &Scanner{lines: bufio.NewScanner(decoded), err: err}
	s.lines.Buffer(nil, maxLine)
	s.lines.Split(splitLine)
	return s
}

// Scan advances to the next entry. It returns false at the end and after an error.
func (s *Scanner) Scan() bool {
	for s.err == nil && s.lines.Scan() {
		s.number++
		if s.text = strings.TrimSpace(s.lines.Text()); s.text == "" {
			continue
		}
		s.err = checkText(s.text)
		return s.err == nil
	}
	return false
}

// Text returns the entry without the blanks around it.
func (s *Scanner) Text() string { return s.text }

// Unquoted returns the entry as a spreadsheet means it: what is in quotes stands for itself,
// blanks included, and two quotes in there stand for one.
func (s *Scanner) Unquoted() string { return unquote(s.text) }

// Line returns the number of the entry's line, from 1.
func (s *Scanner) Line() int { return s.number }

// Err returns the error that ended the scan, with the line.
func (s *Scanner) Err() error {
	switch err := errors.Join(s.err, s.lines.Err()); {
	case err == nil:
		return nil
	case s.err != nil && s.number == 0: // of the whole file
		return s.err
	case s.err != nil:
		return fmt.Errorf("line %d: %w", s.number, s.err)
	default:
		return fmt.Errorf("line %d: %w", s.number+1, err)
	}
}

// Decode returns a text that is read whole, such as a password, as UTF-8, without the blanks
// and the line end around it.
func Decode(data []byte) (string, error) {
	in, err := decode(bytes.NewReader(data))
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(in)
	if err != nil {
		return "", err
	}
	trimmed := strings.TrimSpace(string(text))
	return trimmed, checkText(trimmed)
}

// decode returns the text as UTF-8 and without a byte order mark.
func decode(in io.Reader) (io.Reader, error) {
	const looked = 512
	buffered := bufio.NewReaderSize(in, max(looked, 4096))
	start, _ := buffered.Peek(looked) // an error comes again with the first read
	switch {
	case bytes.HasPrefix(start, []byte("\xef\xbb\xbf")):
		_, err := buffered.Discard(len("\xef\xbb\xbf"))
		return buffered, err
	case bytes.HasPrefix(start, []byte("\xff\xfe")), bytes.HasPrefix(start, []byte("\xfe\xff")):
		return unicode.UTF16(unicode.LittleEndian, unicode.ExpectBOM).NewDecoder().Reader(buffered), nil
	case bytes.IndexByte(start, 0) >= 0:
		return nil, errors.New("has NUL bytes, as UTF-16 without a byte order mark has: save it as UTF-8")
	}
	return buffered, nil
}

// checkText rejects what no decoder understood: entries would differ from what they name.
func checkText(text string) error {
	if !utf8.ValidString(text) || strings.ContainsRune(text, utf8.RuneError) {
		return errors.New("is not UTF-8: save the file as UTF-8")
	}
	return nil
}

// splitLine is a bufio.SplitFunc of lines that end in LF, CR LF, or CR alone.
func splitLine(data []byte, atEOF bool) (advance int, token []byte, err error) {
	end := bytes.IndexAny(data, "\r\n")
	switch {
	case end < 0 && atEOF && len(data) > 0:
		return len(data), data, nil
	case end < 0:
		return 0, nil, nil
	case data[end] == '\n':
		return end + 1, data[:end], nil
	case end+1 < len(data) && data[end+1] == '\n':
		return end + 2, data[:end], nil
	case end+1 < len(data) || atEOF:
		return end + 1, data[:end], nil
	default: // whether a LF follows is not read yet
		return 0, nil, nil
	}
}

// unquote returns the content of a field in quotes, and any other text as it is.
func unquote(text string) string {
	if len(text) < 2 || text[0] != '"' || text[len(text)-1] != '"' {
		return text
	}
	inner := text[1 : len(text)-1]
	if strings.Contains(strings.ReplaceAll(inner, `""`, ""), `"`) {
		return text
	}
	return strings.ReplaceAll(inner, `""`, `"`)
}
