package importer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
)

// csvRows is CSV: of events, with a line of column names, or of a dataset.
type csvRows struct {
	in      *records
	reading reading
	event   func(record []string) (event []byte, written string)
	first   *record // a row in place of column names, not yet returned
}

func newCSV(in *bufio.Reader, r reading) (*csvRows, error) {
	c := &csvRows{reading: r, in: &records{lines: newLines(in)}}
	line := firstLine(in)
	named, isNamed := namedSeparator(line)
	if isNamed {
		_, _, _ = c.in.lines.read() // what was looked at can be read
		c.in.lines.number++
		line = firstLine(in)
	}
	if c.in.separator = named; !isNamed {
		c.in.separator = separator(line)
	}
	c.in.quotes = c.in.separator != '\t' || hasQuotedField(line)
	first, err := c.in.next()
	switch {
	case errors.Is(err, io.EOF):
		return nil, errNoHeader
	case err == nil:
		first.fields = slices.Clone(first.fields)
		err = first.err
	}
	if err == nil {
		err = c.understand(first)
	}
	if err != nil {
		return nil, fmt.Errorf("line %d: %w", max(first.number, 1), err)
	}
	c.in.want = len(first.fields)
	return c, nil
}

// namedSeparator reads the line by which files tell Excel their separator.
func namedSeparator(line []byte) (byte, bool) {
	line = bytes.Trim(line, "\"\r ")
	if len(line) != len("sep=;") || !bytes.EqualFold(line[:4], []byte("sep=")) {
		return 0, false
	}
	return line[4], true
}

// separator is what the first line has most of: of a comma, and what spreadsheets of some
// languages, databases and .tsv have in its place.
func separator(line []byte) byte {
	most := byte(',')
	for _, other := range []byte(";\t|") {
		if bytes.Count(line, []byte{other}) > bytes.Count(line, []byte{most}) {
			most = other
		}
	}
	return most
}

// hasQuotedField reports whether quotes enclose fields between tabs. Most programs write a quote
// there as it is, but those that enclose fields do so with the names of text columns, too.
func hasQuotedField(line []byte) bool {
	return slices.ContainsFunc(bytes.Split(line, []byte("\t")), func(field []byte) bool {
		field = bytes.TrimSpace(field)
		return len(field) > 2 && field[0] == '"' && field[len(field)-1] == '"'
	})
}

func (c *csvRows) next() (row, error) {
	rec := c.first
	if c.first = nil; rec == nil {
		read, err := c.in.next()
		if err != nil {
			return row{}, err
		}
		rec = &read
	}
	r := row{number: rec.number, err: rec.err, value: []byte(rec.line)}
	if rec.err == nil {
		r.value, r.time = c.event(rec.fields)
	}
	return r, nil
}

// interactions takes rows for those of a dataset.
func (c *csvRows) interactions(found columns) {
	c.event = func(record []string) ([]byte, string) {
		said := found.interaction(record)
		return said.event(c.reading), said.time
	}
	c.in.isRow = func(fields []string) bool { return c.reading.isTime(fields[found.time]) }
}

// events takes rows for events with these fields.
func (c *csvRows) events(fields []string) {
	c.event = func(record []string) ([]byte, string) { return c.reading.event(fields, record) }
	at := slices.Index(fields, "timestamp")
	c.in.isRow = func(record []string) bool { return at < len(record) && c.reading.isTime(record[at]) }
}

// numbers are the names of columns that have none.
func numbers(columns int) []string {
	names := make([]string, columns)
	for i := range names {
		names[i] = strconv.Itoa(i + 1)
	}
	return names
}
