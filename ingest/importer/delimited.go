package importer

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// columns are the places of an interaction in a record; a rating's is -1 where there is none.
type columns struct{ user, item, rating, time, of int }

// ratingOrder is that of files without column names.
var ratingOrder = columns{user: 0, item: 1, rating: 2, time: 3, of: 4}

// findColumns looks for the columns of these names, of which the rating may be missing.
func findColumns(names []string, user, item, time string) (columns, error) {
	c := columns{of: len(names)}
	for _, wanted := range []struct {
		name  string
		place *int
	}{{user, &c.user}, {item, &c.item}, {"rating", &c.rating}, {time, &c.time}} {
		*wanted.place = -1
		for i, name := range names {
			if name != wanted.name {
				continue
			}
			if *wanted.place >= 0 {
				return c, fmt.Errorf("there are two columns %q", name)
			}
			*wanted.place = i
		}
		if *wanted.place < 0 && wanted.name != "rating" {
			return c, fmt.Errorf("there is no column %q: want %s, %s, %s and perhaps rating", wanted.name, user, item, time)
		}
	}
	return c, nil
}

func (c columns) interaction(record []string) interaction {
	i := interaction{user: record[c.user], item: record[c.item], time: record[c.time]}
	if c.rating >= 0 {
		i.rating = record[c.rating]
	}
	return i
}

// delimited is a dataset with fields between separators and no quotes.
type delimited struct {
	lines     *lines
	separator string
	columns   columns
	reading   reading
}

func newDelimited(in io.Reader, separator string, c columns, r reading) *delimited {
	return &delimited{newLines(in), separator, c, r}
}

// newAtomic reads an atomic file of RecBole, whose column names have types: user_id:token.
func newAtomic(in io.Reader, r reading) (*delimited, error) {
	d := newDelimited(in, "\t", columns{}, r)
	header, err := d.lines.next()
	switch {
	case errors.Is(err, io.EOF):
		return nil, errNoHeader
	case err != nil:
		return nil, err
	case header.err != nil:
		return nil, fmt.Errorf("line 1: %w", header.err)
	}
	names := strings.Split(string(header.value), d.separator)
	for i := range names {
		names[i], _, _ = strings.Cut(names[i], ":")
		if field := r.Columns[names[i]]; field != "" {
			names[i] = field
		}
	}
	if d.columns, err = findColumns(names, "user_id", "item_id", "timestamp"); err != nil {
		return nil, fmt.Errorf("line %d: %w; --column says what else it is called, such as --column item_id=product_id", header.number, err)
	}
	return d, nil
}

func (d *delimited) next() (row, error) {
	r, err := d.lines.next()
	if err != nil || r.err != nil {
		return r, err
	}
	record := strings.Split(string(r.value), d.separator)
	if len(record) != d.columns.of {
		r.err = fmt.Errorf("has %d fields, want %d", len(record), d.columns.of)
		return r, nil
	}
	for i := range record {
		record[i] = strings.TrimSpace(record[i])
	}
	said := d.columns.interaction(record)
	r.value, r.time = said.event(d.reading), said.time
	return r, nil
}
