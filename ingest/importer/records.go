package importer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// Why a record is malformed.
var (
	errQuoteOpen     = errors.New("a quote is not closed")
	errQuoteStray    = errors.New("a quote is not closed: the lines behind it are rows of their own")
	errTextBehind    = errors.New("there is text behind a closing quote; a quote inside of quotes is written twice")
	errQuoteInside   = errors.New("there is a quote in a field that is not in quotes")
	errQuoteTooLarge = fmt.Errorf("a row has %w; is a quote not closed?", errTooLong)
)

// records reads the records of CSV. encoding/csv is not used because a quote that is not closed
// would make it consume, as one field, everything up to the next quote. Here a malformed record
// is its first line alone, and reading resumes at the next one.
//
// A stray quote is told from a field with line ends by what follows. Text behind the closing
// quote and a wrong number of fields are not enough, since two stray quotes can pair up: the
// lines in between are looked at, too.
//
// Every line is parsed at most twice. A line on which a quote stays open has an odd number of
// quotes, so that reading ahead from an earlier line ends there.
type records struct {
	lines     *lines
	separator byte
	quotes    bool                     // else a quote is plain text
	want      int                      // fields; 0: any number
	isRow     func(line []string) bool // whether fields of a line are a whole row; nil: unknown

	ahead  []csvLine // read, and to be parsed again
	at     int       // next of ahead
	parse  csvParser
	fields []string // of the latest record
}

// csvLine is a line without its end.
type csvLine struct {
	number  int64
	text    []byte
	tooLong bool
}

// record is one of CSV. Its fields are without the blanks around them, unless they are in quotes,
// and valid until the next one is read.
type record struct {
	number int64
	fields []string
	line   string // if it is malformed
	err    error
}

// next returns the next record that is not empty. Its error is io.EOF at the end.
func (r *records) next() (record, error) {
	for {
		first, err := r.line(false)
		if err != nil {
			return record{}, err
		}
		if len(bytes.Trim(first.text, " \r")) == 0 && !first.tooLong {
			continue
		}
		rec := record{number: first.number}
		rec.fields, rec.err = r.read(&first)
		if errors.Is(rec.err, errFile) {
			return record{}, rec.err
		}
		if rec.err != nil {
			rec.line = string(first.text)
		}
		return rec, nil
	}
}

// errFile marks errors that end the file.
var errFile = errors.New("read")

// read parses the record that begins with a line. On an error of the record, the lines behind
// the first one are read again.
func (r *records) read(first *csvLine) ([]string, error) {
	r.ahead, r.at = r.ahead[r.at:], 0
	switch {
	case first.tooLong:
		return nil, errQuoteTooLarge
	case !r.quotes || bytes.IndexByte(first.text, '"') < 0:
		r.fields = r.split(r.fields[:0], string(first.text))
		return r.fields, r.checkCount(r.fields)
	}
	r.parse.reset(r.separator)
	open, err := r.parse.feed(first.text)
	if open {
		first.text = bytes.Clone(first.text) // reading on overwrites it
		err = r.readOn(*first)
	}
	if err == nil {
		r.fields = r.parse.fields(r.fields[:0])
		err = r.checkCount(r.fields)
	}
	if err != nil {
		r.at = 0
	}
	return r.fields, err
}

// readOn parses the lines of a field in quotes up to the end of the record.
func (r *records) readOn(first csvLine) error {
	size := len(first.text)
	for {
		line, err := r.line(true)
		if errors.Is(err, io.EOF) {
			return errQuoteOpen
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errFile, err)
		}
		if size += len(line.text) + 1; size > maxRow {
			return errQuoteTooLarge
		}
		open, err := r.parse.feed(line.text)
		switch {
		case err != nil:
			return err
		case !open && r.looksWhole(first.text) && r.looksWhole(line.text):
			return errQuoteStray
		case !open:
			return nil
		case bytes.IndexByte(line.text, '"') < 0 && r.looksWhole(line.text):
			return errQuoteStray
		}
	}
}

// looksWhole reports whether a line would be a whole row if quotes were plain text.
func (r *records) looksWhole(line []byte) bool {
	if r.isRow == nil || bytes.Count(line, []byte{r.separator})+1 != r.want {
		return false
	}
	fields := r.split(nil, string(line))
	for i := range fields {
		fields[i] = strings.Trim(fields[i], "\" ")
	}
	return r.isRow(fields)
}

func (r *records) checkCount(fields []string) error {
	if r.want > 0 && len(fields) != r.want {
		return fmt.Errorf("has %d fields, want %d", len(fields), r.want)
	}
	return nil
}

// split appends the fields of a line without quotes.
func (r *records) split(fields []string, line string) []string {
	for {
		end := strings.IndexByte(line, r.separator)
		if end < 0 {
			return append(fields, strings.TrimSpace(line))
		}
		fields = append(fields, strings.TrimSpace(line[:end]))
		line = line[end+1:]
	}
}

// line returns the next line. It is kept to be read again if keep says so, and else is only
// valid until the next call.
func (r *records) line(keep bool) (csvLine, error) {
	if r.at < len(r.ahead) {
		r.at++
		return r.ahead[r.at-1], nil
	}
	text, tooLong, err := r.lines.read()
	if err != nil && !errors.Is(err, io.EOF) {
		return csvLine{}, fmt.Errorf("line %d: %w", r.lines.number+1, err)
	}
	if err != nil && len(text) == 0 {
		return csvLine{}, io.EOF
	}
	r.lines.number++
	text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	line := csvLine{r.lines.number, text, tooLong}
	if keep {
		line.text = bytes.Clone(text)
		r.ahead, r.at = append(r.ahead, line), r.at+1
	}
	return line, nil
}

// csvParser parses the lines of a record with quotes.
type csvParser struct {
	separator byte
	open      bool   // in a field in quotes
	text      []byte // of all fields
	ends      []int  // of the fields in text
}

func (p *csvParser) reset(separator byte) {
	*p = csvParser{separator: separator, text: p.text[:0], ends: p.ends[:0]}
}

// feed parses the next line, and reports whether the record goes on behind it.
func (p *csvParser) feed(line []byte) (open bool, err error) {
	for {
		if !p.open {
			line = bytes.TrimLeftFunc(line, p.isBlank)
			if len(line) == 0 || line[0] != '"' {
				field, rest, more := bytes.Cut(line, []byte{p.separator})
				if bytes.IndexByte(field, '"') >= 0 {
					return false, errQuoteInside
				}
				p.text = append(p.text, bytes.TrimSpace(field)...)
				p.ends = append(p.ends, len(p.text))
				if !more {
					return false, nil
				}
				line = rest
				continue
			}
			line, p.open = line[1:], true
		}
		if line = p.quoted(line); p.open {
			return true, nil
		}
		p.ends = append(p.ends, len(p.text))
		line = bytes.TrimLeftFunc(line, p.isBlank)
		switch {
		case len(line) == 0:
			return false, nil
		case line[0] != p.separator:
			return false, errTextBehind
		}
		line = line[1:]
	}
}

// quoted takes what a line has of a field in quotes, and returns what is behind the closing one.
func (p *csvParser) quoted(line []byte) (rest []byte) {
	for {
		text, rest, closed := bytes.Cut(line, []byte{'"'})
		p.text = append(p.text, text...)
		switch {
		case !closed:
			p.text = append(p.text, '\n')
			return nil
		case len(rest) == 0 || rest[0] != '"':
			p.open = false
			return rest
		}
		p.text = append(p.text, '"')
		line = rest[1:]
	}
}

// isBlank tells what may be around the quotes of a field.
func (p *csvParser) isBlank(r rune) bool { return unicode.IsSpace(r) && r != rune(p.separator) }

// fields appends those of the record.
func (p *csvParser) fields(fields []string) []string {
	text, begin := string(p.text), 0
	for _, end := range p.ends {
		fields = append(fields, text[begin:end])
		begin = end
	}
	return fields
}
