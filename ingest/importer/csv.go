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

// csvReader reads CSV and its variants with other separators: events with a line of column names,
// or a dataset.
type csvReader struct {
	parser  *csvParser
	options fileOptions
	encode  func(record []string) (event []byte, time string) // to a JSON event, and its time as written
	first   *record                                           // not yet returned, if the file has no column names
}

func newCSVReader(in *bufio.Reader, o fileOptions) (*csvReader, error) {
	c := &csvReader{options: o, parser: &csvParser{lines: newLineReader(in)}}
	line := firstLine(in)
	separator, declared := declaredSeparator(line)
	if declared {
		_, _, _ = c.parser.lines.read() // cannot fail after firstLine
		c.parser.lines.number++
		line = firstLine(in)
	} else {
		separator = guessSeparator(line)
	}
	c.parser.separator = separator
	c.parser.quotes = separator != '\t' || hasQuotedField(line)
	first, err := c.parser.next()
	switch {
	case errors.Is(err, io.EOF):
		return nil, errNoHeader
	case err == nil:
		first.fields = slices.Clone(first.fields)
		err = first.err
	}
	if err == nil {
		err = c.readHeader(first)
	}
	if err != nil {
		return nil, fmt.Errorf("line %d: %w", max(first.number, 1), err)
	}
	c.parser.want = len(first.fields)
	return c, nil
}

// declaredSeparator parses the line sep=; by which files tell Excel their separator.
func declaredSeparator(line []byte) (byte, bool) {
	line = bytes.Trim(line, "\"\r ")
	if len(line) != len("sep=;") || !bytes.EqualFold(line[:4], []byte("sep=")) {
		return 0, false
	}
	return line[4], true
}

// guessSeparator returns the most frequent separator of a line: a comma, or one that spreadsheets
// of some locales, databases and TSV use.
func guessSeparator(line []byte) byte {
	best := byte(',')
	for _, other := range []byte(";\t|") {
		if bytes.Count(line, []byte{other}) > bytes.Count(line, []byte{best}) {
			best = other
		}
	}
	return best
}

// hasQuotedField reports whether fields between tabs are quoted. Most programs do not quote there,
// and a quote is plain text; those that do quote the column names, too.
func hasQuotedField(line []byte) bool {
	return slices.ContainsFunc(bytes.Split(line, []byte("\t")), func(field []byte) bool {
		field = bytes.TrimSpace(field)
		return len(field) > 2 && field[0] == '"' && field[len(field)-1] == '"'
	})
}

func (c *csvReader) next() (row, error) {
	rec := c.first
	if c.first = nil; rec == nil {
		read, err := c.parser.next()
		if err != nil {
			return row{}, err
		}
		rec = &read
	}
	r := row{number: rec.number, err: rec.err, value: []byte(rec.line)}
	if rec.err == nil {
		r.value, r.time = c.encode(rec.fields)
	}
	return r, nil
}

// readHeader finds the columns by the first record.
func (c *csvReader) readHeader(rec record) error {
	format, first := c.options.format, rec.fields
	if format == Auto {
		format = formatOfColumns(first)
	}
	var (
		found datasetColumns
		err   error
	)
	switch order, withoutHeader := amazonOrder(first); {
	case format == MovieLens:
		found, err = findColumns(first, "userId", "movieId", "timestamp")
	case format == Amazon && withoutHeader:
		found, c.first = order, &rec
	case format == Amazon && !slices.Contains(first, "user_id"):
		return errors.New("has neither Amazon's column names (user_id, parent_asin, rating, timestamp) nor four fields, one of them an ASIN and another a user id")
	case format == Amazon:
		found, err = findColumns(first, "user_id", "parent_asin", "timestamp")
	case c.options.NoHeader:
		fields, err := c.options.fieldsOfTable(numberedColumns(1, len(first)))
		if err != nil {
			return fmt.Errorf("%w; with --no-header, the columns of %q are called by number, such as --column user_id=1", err, first)
		}
		c.first = &rec
		c.useEvents(fields)
		return nil
	default:
		fields, err := c.options.fieldsOfTable(first)
		if c.options.isData(first, fields) {
			return noHeaderError(first)
		}
		c.useEvents(fields)
		return err
	}
	if err != nil && c.options.isData(first, nil) {
		return noHeaderError(first)
	}
	c.useDataset(found)
	return err
}

// useDataset makes next return the interactions of a dataset.
func (c *csvReader) useDataset(columns datasetColumns) {
	c.encode = func(record []string) ([]byte, string) {
		i := columns.interaction(record)
		return i.event(c.options), i.time
	}
	c.parser.isRow = func(fields []string) bool { return c.options.isTime(fields[columns.time]) }
}

// useEvents makes next return events whose columns are these fields.
func (c *csvReader) useEvents(fields []string) {
	c.encode = func(record []string) ([]byte, string) { return c.options.event(fields, record) }
	at := slices.Index(fields, "timestamp")
	c.parser.isRow = func(record []string) bool { return at < len(record) && c.options.isTime(record[at]) }
}

// isData reports whether the first line has values rather than column names. With the fields that
// were found, that is a number or a time in the column of a field; without them, a time anywhere,
// or numbers in half of the columns.
func (o fileOptions) isData(first, fields []string) bool {
	if slices.Equal(first, numberedColumns(1, len(first))) || slices.Equal(first, numberedColumns(0, len(first))) {
		return false // column names that pandas generates
	}
	values := 0
	for i, name := range first {
		switch used := fields != nil && fields[i] != ""; {
		case o.isTime(name) && (used || fields == nil), used && isNumber(name):
			return true
		case fields == nil && isNumber(name):
			values++
		}
	}
	return values > 0 && 2*values >= len(first)
}

// numberedColumns returns names for columns that have none.
func numberedColumns(first, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = strconv.Itoa(first + i)
	}
	return names
}

func isNumber(text string) bool {
	_, err := strconv.ParseFloat(text, 64)
	return err == nil
}

// noHeaderError is the error about a file without column names, whose first row must not be lost.
func noHeaderError(first []string) error {
	const most = 10
	shown := first[:min(len(first), most)]
	return fmt.Errorf("the column names are missing: %q are values; import it with --no-header, which calls the columns by number, such as --no-header --column user_id=1 --column timestamp=2 --column item_id=3", shown)
}
