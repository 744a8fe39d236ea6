// Package textfile reads text files that people edit or export, such as lists of ids with one entry
// per line. It accepts UTF-8 and UTF-16, with or without a byte order mark, the line ends of any
// system, white space around entries, and quotes as in spreadsheets. Printable is for the opposite
// direction: printing text from outside to a terminal.
package textfile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/unicode"
)

// DefaultMaxLine is the usual limit of a line, in bytes.
const DefaultMaxLine = 64 << 10

// Scanner reads the entries of a file. Empty lines are skipped.
type Scanner struct {
	lines  *bufio.Scanner
	number int
	text   string
	err    error
}

// NewScanner returns a Scanner for lines of at most maxLine bytes.
func NewScanner(in io.Reader, maxLine int) *Scanner {
	decoded, err := decode(in)
	s := &Scanner{lines: bufio.NewScanner(decoded), err: err}
	s.lines.Buffer(nil, maxLine)
	s.lines.Split(splitLine)
	return s
}

// Scan advances to the next entry. It returns false at the end or after an error.
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

// Text returns the entry without surrounding white space.
func (s *Scanner) Text() string { return s.text }

// Unquoted returns the content of an entry in double quotes, in which two quotes are an escaped one,
// and any other entry like Text.
func (s *Scanner) Unquoted() string { return unquote(s.text) }

// Line returns the line number of the entry, from 1.
func (s *Scanner) Line() int { return s.number }

// Err returns the error that ended the scan, with the line number.
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

// Decode returns the text of a whole file, such as a password, as UTF-8 and without surrounding white
// space.
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

// decode converts the text to UTF-8, without a byte order mark.
func decode(in io.Reader) (io.Reader, error) {
	const peeked = 512
	buffered := bufio.NewReaderSize(in, max(peeked, 4096))
	start, _ := buffered.Peek(peeked) // an error is returned again by the first read
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

// checkText rejects text with invalid or replaced characters, which would not match any id.
func checkText(text string) error {
	if !utf8.ValidString(text) || strings.ContainsRune(text, utf8.RuneError) {
		return errors.New("is not UTF-8: save the file as UTF-8")
	}
	return nil
}

// splitLine is a bufio.SplitFunc for lines that end with LF, CRLF or CR.
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
	default: // an LF may follow
		return 0, nil, nil
	}
}

// unquote returns the content of a quoted field, and any other text unchanged.
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

// maxPrintable is the number of bytes that Printable returns, before escaping.
const maxPrintable = 200

// Printable returns the beginning of a text from outside with control characters escaped, so that it
// cannot control a terminal.
func Printable[T ~string | ~[]byte](text T) string {
	quoted := strconv.QuoteToGraphic(string(text[:min(len(text), maxPrintable)]))
	return quoted[1 : len(quoted)-1]
}
