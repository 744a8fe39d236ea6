package importer

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// understand learns from the first record what the columns are.
func (c *csvRows) understand(rec record) error {
	format, first := c.reading.format, rec.fields
	if format == Auto {
		format = tableFormat(first)
	}
	var (
		found columns
		err   error
	)
	switch order, unnamed := amazonOrder(first); {
	case format == MovieLens:
		found, err = findColumns(first, "userId", "movieId", "timestamp")
	case format == Amazon && unnamed:
		found, c.first = order, &rec
	case format == Amazon && !slices.Contains(first, "user_id"):
		return errors.New("has neither Amazon's column names, user_id, parent_asin, rating, timestamp, nor four fields of which one is an ASIN and another the id of a user")
	case format == Amazon:
		found, err = findColumns(first, "user_id", "parent_asin", "timestamp")
	case c.reading.NoHeader:
		fields, err := c.reading.fieldsOfTable(numbers(len(first)))
		if err != nil {
			return fmt.Errorf("%w; the columns of %q are called by number with --no-header, such as --column user_id=1", err, first)
		}
		c.first = &rec
		c.events(fields)
		return nil
	default:
		fields, err := c.reading.fieldsOfTable(first)
		if c.reading.isData(first, fields) {
			return c.reading.noHeader(first)
		}
		c.events(fields)
		return err
	}
	if err != nil && c.reading.isData(first, nil) {
		return c.reading.noHeader(first)
	}
	c.interactions(found)
	return err
}

// isData reports whether the first line has values in place of column names: a number or a time
// in place of the name of a field. If fields are missing, a time anywhere, or numbers in half of
// the columns, tell so.
func (r reading) isData(first, fields []string) bool {
	if slices.Equal(first, numbers(len(first))) || slices.Equal(first, fromZero(len(first))) {
		return false // names that pandas makes up
	}
	values := 0
	for i, name := range first {
		switch used := fields != nil && fields[i] != ""; {
		case r.isTime(name) && (used || fields == nil), used && isNumber(name):
			return true
		case fields == nil && isNumber(name):
			values++
		}
	}
	return values > 0 && 2*values >= len(first)
}

func fromZero(columns int) []string {
	names := numbers(columns)
	for i := range names {
		names[i] = strconv.Itoa(i)
	}
	return names
}

func isNumber(text string) bool {
	_, err := strconv.ParseFloat(text, 64)
	return err == nil
}

// noHeader says what to do about a file without column names, whose first row is not to be lost.
func (r reading) noHeader(first []string) error {
	const most = 10
	shown := first[:min(len(first), most)]
	return fmt.Errorf("the column names are missing: %q are values; import it with --no-header, which calls the columns by number, such as --no-header --column user_id=1 --column timestamp=2 --column item_id=3", shown)
}

// tableFormat tells whose columns these are.
func tableFormat(first []string) Format {
	has := func(name string) bool { return slices.Contains(first, name) }
	_, unnamed := amazonOrder(first)
	switch {
	case has("event_id"):
		return Events
	case has("userId") && has("movieId"):
		return MovieLens
	case has("user_id") && has("parent_asin"), unnamed:
		return Amazon
	default:
		return Events
	}
}

var (
	asin     = regexp.MustCompile(`^(B[0-9A-Z]{9}|[0-9]{9}[0-9X])$`)
	reviewer = regexp.MustCompile(`^A[0-9A-Z]{9,}$`)
)

// amazonOrder tells by the ids which order Amazon's ratings without column names have: users
// come first in those of 2014, and items in those of 2018.
func amazonOrder(record []string) (columns, bool) {
	order := ratingOrder
	if len(record) != order.of || strings.Trim(record[order.time], "0123456789") != "" {
		return columns{}, false
	}
	switch {
	case reviewer.MatchString(record[0]) && asin.MatchString(record[1]):
		return order, true
	case asin.MatchString(record[0]) && reviewer.MatchString(record[1]):
		order.user, order.item = order.item, order.user
		return order, true
	default:
		return columns{}, false
	}
}
