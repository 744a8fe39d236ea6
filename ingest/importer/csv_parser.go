package importer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// Errors of malformed records.
var (
	errQuoteOpen      = errors.New("a quote is not closed")
	errQuoteStray     = errors.New("a quote is not closed: the lines after it are complete rows")
	errTextAfterQuote = errors.New("there is text after a closing quote; write a quote within quotes twice")
	errQuoteInside    = errors.New("there is a quote in an unquoted field")
	errQuoteTooLarge  = fmt.Errorf("a row has %w; is a quote not closed?", errTooLong)
)

// csvParser parses CSV records. encoding/csv is not used because a quote that is not closed would
// make it consume everything up to the next quote as one field. Here, a malformed record consists
// of its first line alone, and parsing resumes at the next line.
//
// A stray quote is distinguished from a field with line breaks by what follows. Text after the
// closing quote and a wrong number of fields do not suffice, because two stray quotes can form a
// pair: the lines in between are examined, too.
//
// Every line is parsed at most twice. A line at whose end a quote is open has an odd number of
// quotes, so that reading ahead from an earlier line ends there.
type csvParser struct {
	lines     *lineReader
	separator byte
	quotes    bool                     // false: quotes are plain text
	want      int                      // fields in a record; 0: any number
	isRow     func(line []string) bool // whether fields of a line are a complete row; nil: unknown

	ahead  []csvLine // lines to parse again
	at     int       // index of the next line in ahead
	quoted quotedRecord
	fields []string // of the latest record
}

// csvLine is a line without its line break.
type csvLine struct {
	number  int64
	text    []byte
	tooLong bool
}

// record is a CSV record. Its fields are trimmed unless they are quoted, and valid until the next
// record is read.
type record struct {
	number int64 // of the first line
	fields []string
	line   string // the first line, if the record is malformed
	err    error  // malformed
}

// next returns the next record that is not blank, or io.EOF at the end.
func (p *csvParser) next() (record, error) {
	for {
		first, err := p.line(false)
		if err != nil {
			return record{}, err
		}
		if len(bytes.Trim(first.text, " \r")) == 0 && !first.tooLong {
			continue
		}
		rec := record{number: first.number}
		rec.fields, rec.err = p.read(&first)
		if errors.Is(rec.err, errRead) {
			return record{}, rec.err
		}
		if rec.err != nil {
			rec.line = string(first.text)
		}
		return rec, nil
	}
}

// errRead marks errors of reading the file, which end it.
var errRead = errors.New("read")

// read parses the record that begins with a line. If the record is malformed, the lines after the
// first one are parsed again.
func (p *csvParser) read(first *csvLine) ([]string, error) {
	p.ahead, p.at = p.ahead[p.at:], 0
	switch {
	case first.tooLong:
		return nil, errQuoteTooLarge
	case !p.quotes || bytes.IndexByte(first.text, '"') < 0:
		p.fields = p.split(p.fields[:0], string(first.text))
		return p.fields, p.checkCount(p.fields)
	}
	p.quoted.reset(p.separator)
	open, err := p.quoted.feed(first.text)
	if open {
		first.text = bytes.Clone(first.text) // reading on overwrites it
		err = p.readOn(*first)
	}
	if err == nil {
		p.fields = p.quoted.appendFields(p.fields[:0])
		err = p.checkCount(p.fields)
	}
	if err != nil {
		p.at = 0
	}
	return p.fields, err
}

// readOn parses the lines after the first one, up to the end of the record.
func (p *csvParser) readOn(first csvLine) error {
	size := len(first.text)
	for {
		line, err := p.line(true)
		if errors.Is(err, io.EOF) {
			return errQuoteOpen
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errRead, err)
		}
		if size += len(line.text) + 1; size > maxRow {
			return errQuoteTooLarge
		}
		open, err := p.quoted.feed(line.text)
		switch {
		case err != nil:
			return err
		case !open && p.looksComplete(first.text) && p.looksComplete(line.text):
			return errQuoteStray
		case !open:
			return nil
		case bytes.IndexByte(line.text, '"') < 0 && p.looksComplete(line.text):
			return errQuoteStray
		}
	}
}

// looksComplete reports whether a line would be a complete row if quotes were plain text.
func (p *csvParser) looksComplete(line []byte) bool {
	if p.isRow == nil || bytes.Count(line, []byte{p.separator})+1 != p.want {
		return false
	}
	fields := p.split(nil, string(line))
	for i := range fields {
		fields[i] = strings.Trim(fields[i], "\" ")
	}
	return p.isRow(fields)
}

func (p *csvParser) checkCount(fields []string) error {
	if p.want > 0 && len(fields) != p.want {
		return fmt.Errorf("has %d fields, want %d", len(fields), p.want)
	}
	return nil
}

// split appends the trimmed fields of a line without quotes.
func (p *csvParser) split(fields []string, line string) []string {
	for {
		end := strings.IndexByte(line, p.separator)
		if end < 0 {
			return append(fields, strings.TrimSpace(line))
		}
		fields = append(fields, strings.TrimSpace(line[:end]))
		line = line[end+1:]
	}
}

// line returns the next line. With keep it can be parsed again; otherwise, it is only valid until
// the next call.
func (p *csvParser) line(keep bool) (csvLine, error) {
	if p.at < len(p.ahead) {
		p.at++
		return p.ahead[p.at-1], nil
	}
	text, tooLong, err := p.lines.read()
	if err != nil && !errors.Is(err, io.EOF) {
		return csvLine{}, fmt.Errorf("line %d: %w", p.lines.number+1, err)
	}
	if err != nil && len(text) == 0 {
		return csvLine{}, io.EOF
	}
	p.lines.number++
	text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	line := csvLine{p.lines.number, text, tooLong}
	if keep {
		line.text = bytes.Clone(text)
		p.ahead, p.at = append(p.ahead, line), p.at+1
	}
	return line, nil
}

// quotedRecord parses the lines of a record with quotes.
type quotedRecord struct {
	separator byte
	open      bool   // within a quoted field
	text      []byte // of all fields
	ends      []int  // of the fields, in text
}

func (q *quotedRecord) reset(separator byte) {
	*q = quotedRecord{separator: separator, text: q.text[:0], ends: q.ends[:0]}
}

// feed parses the next line, and reports whether the record continues on the line after it.
func (q *quotedRecord) feed(line []byte) (open bool, err error) {
	for {
		if !q.open {
			line = bytes.TrimLeftFunc(line, q.isBlank)
			if len(line) == 0 || line[0] != '"' {
				field, rest, more := bytes.Cut(line, []byte{q.separator})
				if bytes.IndexByte(field, '"') >= 0 {
					return false, errQuoteInside
				}
				q.text = append(q.text, bytes.TrimSpace(field)...)
				q.ends = append(q.ends, len(q.text))
				if !more {
					return false, nil
				}
				line = rest
				continue
			}
			line, q.open = line[1:], true
		}
		if line = q.readQuoted(line); q.open {
			return true, nil
		}
		q.ends = append(q.ends, len(q.text))
		line = bytes.TrimLeftFunc(line, q.isBlank)
		switch {
		case len(line) == 0:
			return false, nil
		case line[0] != q.separator:
			return false, errTextAfterQuote
		}
		line = line[1:]
	}
}

// readQuoted reads the part of a quoted field on a line, and returns the rest of the line after
// the closing quote.
func (q *quotedRecord) readQuoted(line []byte) (rest []byte) {
	for {
		text, rest, closed := bytes.Cut(line, []byte{'"'})
		q.text = append(q.text, text...)
		switch {
		case !closed:
			q.text = append(q.text, '\n')
			return nil
		case len(rest) == 0 || rest[0] != '"':
			q.open = false
			return rest
		}
		q.text = append(q.text, '"')
		line = rest[1:]
	}
}

// isBlank reports whether a character may surround a quoted field.
func (q *quotedRecord) isBlank(r rune) bool { return unicode.IsSpace(r) && r != rune(q.separator) }

// appendFields appends the fields of the record.
func (q *quotedRecord) appendFields(fields []string) []string {
	text, begin := string(q.text), 0
	for _, end := range q.ends {
		fields = append(fields, text[begin:end])
		begin = end
	}
	return fields
}
