package backfill

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
)

// csvRows is CSV: of events, with a line of column names, or of a dataset.
type csvRows struct {
	in    *csv.Reader
	left  *limited
	value func(record []string) []byte
	first []string // a record in place of column names, not yet returned
}

func newCSV(in *bufio.Reader, format Format, words Words) (*csvRows, error) {
	c := &csvRows{left: &limited{in: in}}
	c.in = csv.NewReader(c.left)
	c.in.Comma = separator(firstLine(in))
	c.in.ReuseRecord = true
	c.in.TrimLeadingSpace = c.in.Comma != '\t' // or empty fields would be left out
	c.left.allow(maxRow)
	names, err := c.in.Read()
	switch {
	case errors.Is(err, io.EOF):
		return nil, errors.New("line 1: the column names are missing: the file is empty")
	case err != nil:
		return nil, fmt.Errorf("line 1: %w", err)
	}
	if err := c.understand(names, format, words); err != nil {
		return nil, fmt.Errorf("line 1: %w", err)
	}
	return c, nil
}

// separator is what the first line has most of: of a comma, and what spreadsheets of some
// languages, databases and .tsv have in its place.
func separator(line []byte) rune {
	most := ','
	for _, other := range ";\t|" {
		if bytes.Count(line, []byte(string(other))) > bytes.Count(line, []byte(string(most))) {
			most = other
		}
	}
	return most
}

func (c *csvRows) next() (row, error) {
	if record := c.first; record != nil {
		c.first = nil
		return c.row(1, record), nil
	}
	c.left.allow(maxRow)
	record, err := c.in.Read()
	var parse *csv.ParseError
	switch {
	case errors.Is(err, io.EOF):
		return row{}, io.EOF
	case errors.As(err, &parse):
		return row{number: int64(parse.StartLine), value: []byte(strings.Join(record, ",")), err: parse.Err}, nil
	case err != nil:
		line := c.in.InputOffset()
		return row{}, fmt.Errorf("after byte %d: %w", line, err)
	}
	line, _ := c.in.FieldPos(0)
	return c.row(int64(line), record), nil
}

func (c *csvRows) row(line int64, record []string) row {
	return row{number: line, value: c.value(record)}
}

// limited keeps a quote that is never closed from taking the rest of the file into memory.
type limited struct {
	in   io.Reader
	left int
}

func (l *limited) allow(bytes int) { l.left = bytes }

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, fmt.Errorf("a row has %w; is a quote not closed?", errTooLong)
	}
	n, err := l.in.Read(p)
	l.left -= n
	return n, err
}
