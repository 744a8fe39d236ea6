package backfill

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Columns that a table must have, and may have. Others are left out.
var (
	required = []string{"event_id", "user_id", "item_id", "timestamp"}
	known    = append(slices.Clone(required), "type", "context", "rec_id")
)

// csvRows is CSV: of events, with a line of column names, or of a dataset.
type csvRows struct {
	in    *csv.Reader
	left  *limited
	value func(record []string) []byte
	first []string // a record in place of column names, not yet returned
}

func newCSV(in io.Reader, format Format) (*csvRows, error) {
	c := &csvRows{left: &limited{in: in}}
	c.in = csv.NewReader(c.left)
	c.in.ReuseRecord = true
	c.left.allow(maxRow)
	names, err := c.in.Read()
	switch {
	case errors.Is(err, io.EOF):
		return nil, errors.New("line 1: the column names are missing: the file is empty")
	case err != nil:
		return nil, fmt.Errorf("line 1: %w", err)
	}
	names[0] = strings.TrimPrefix(names[0], "\ufeff") // a spreadsheet's mark
	if err := c.understand(names, format); err != nil {
		return nil, fmt.Errorf("line 1: %w", err)
	}
	return c, nil
}

// columnsOf blanks the names that mean nothing.
func columnsOf(names []string) ([]string, error) {
	columns := make([]string, len(names))
	for i, name := range names {
		name = strings.TrimSpace(name)
		if !slices.Contains(known, name) {
			continue
		}
		if slices.Contains(columns, name) {
			return nil, fmt.Errorf("there are two columns %q", name)
		}
		columns[i] = name
	}
	for _, name := range required {
		if !slices.Contains(columns, name) {
			return nil, fmt.Errorf("there is no column %q: want %s and perhaps type, context and rec_id", name, strings.Join(required, ", "))
		}
	}
	return columns, nil
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

// object is a JSON object under construction.
type object struct{ text []byte }

func newObject() *object { return &object{text: []byte{'{'}} }

// add takes a field as text, whatever it is in JSON.
func (o *object) add(name, text string) {
	switch {
	case name == "context", name == "timestamp" && isInteger(text):
		o.addRaw(name, text)
	default:
		quoted, _ := json.Marshal(text) // of a string, never fails
		o.addRaw(name, string(quoted))
	}
}

func (o *object) addRaw(name, raw string) {
	if len(o.text) > 1 {
		o.text = append(o.text, ',')
	}
	o.text = append(o.text, '"')
	o.text = append(o.text, name...)
	o.text = append(o.text, '"', ':')
	o.text = append(o.text, raw...)
}

func (o *object) end() []byte { return append(o.text, '}') }

// isInteger says whether the text is an integer of JSON, which has no zeros in front.
func isInteger(text string) bool {
	digits := strings.TrimPrefix(text, "-")
	return digits != "" && strings.Trim(digits, "0123456789") == "" && (digits == "0" || digits[0] != '0')
}
