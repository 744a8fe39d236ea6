package importer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// interaction is a row of a dataset, as text. Missing values are empty.
type interaction struct{ user, item, rating, time string }

// event returns the interaction as a JSON event. Its id follows from the content, so that a
// repeated import counts it once.
func (i interaction) event(o fileOptions) []byte {
	value := newObject()
	at := o.milliseconds(i.time)
	value.add("event_id", contentID(i.user, i.item, at, normalizeNumber(i.rating)))
	for _, field := range []struct{ name, text string }{{"user_id", i.user}, {"item_id", i.item}, {"timestamp", at}} {
		if field.text != "" {
			value.add(field.name, field.text)
		}
	}
	if i.rating != "" {
		value.add("type", "rate")
	}
	return value.end()
}

// normalizeNumber returns the same text for equal numbers: files of the same ratings have 5 and
// 5.0.
func normalizeNumber(text string) string {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return text
	}
	return strconv.FormatFloat(n, 'g', -1, 64)
}

// datasetColumns are the indexes of an interaction's values in a record of `of` fields. rating is
// -1 if there is none.
type datasetColumns struct{ user, item, rating, time, of int }

// ratingOrder is the order of files without column names.
var ratingOrder = datasetColumns{user: 0, item: 1, rating: 2, time: 3, of: 4}

// findColumns finds the columns with these names; that of the rating may be missing.
func findColumns(names []string, user, item, time string) (datasetColumns, error) {
	c := datasetColumns{of: len(names)}
	for _, wanted := range []struct {
		name  string
		index *int
	}{{user, &c.user}, {item, &c.item}, {"rating", &c.rating}, {time, &c.time}} {
		*wanted.index = -1
		for i, name := range names {
			if name != wanted.name {
				continue
			}
			if *wanted.index >= 0 {
				return c, fmt.Errorf("there are two columns %q", name)
			}
			*wanted.index = i
		}
		if *wanted.index < 0 && wanted.name != "rating" {
			return c, fmt.Errorf("there is no column %q: want %s, %s, %s and optionally rating", wanted.name, user, item, time)
		}
	}
	return c, nil
}

func (c datasetColumns) interaction(record []string) interaction {
	i := interaction{user: record[c.user], item: record[c.item], time: record[c.time]}
	if c.rating >= 0 {
		i.rating = record[c.rating]
	}
	return i
}

// delimitedReader reads a dataset with separators and without quotes: RecBole's atomic files, and
// MovieLens without column names.
type delimitedReader struct {
	lines     *lineReader
	separator string
	columns   datasetColumns
	options   fileOptions
}

func newDelimitedReader(in io.Reader, separator string, c datasetColumns, o fileOptions) *delimitedReader {
	return &delimitedReader{newLineReader(in), separator, c, o}
}

// newRecBoleReader reads an atomic file, whose column names have types: user_id:token.
func newRecBoleReader(in io.Reader, o fileOptions) (*delimitedReader, error) {
	d := newDelimitedReader(in, "\t", datasetColumns{}, o)
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
		if field := o.Columns[names[i]]; field != "" {
			names[i] = field
		}
	}
	if d.columns, err = findColumns(names, "user_id", "item_id", "timestamp"); err != nil {
		return nil, fmt.Errorf("line %d: %w; map other names with --column, such as --column item_id=product_id", header.number, err)
	}
	return d, nil
}

func (d *delimitedReader) next() (row, error) {
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
	i := d.columns.interaction(record)
	r.value, r.time = i.event(d.options), i.time
	return r, nil
}

// reviewReader reads Amazon's reviews, one JSON object in each line.
type reviewReader struct {
	lines   *lineReader
	options fileOptions
}

// review is a review of 2014 and 2018, or of 2023.
type review struct {
	Reviewer string      `json:"reviewerID"`
	ASIN     string      `json:"asin"`
	Seconds  json.Number `json:"unixReviewTime"`
	Overall  json.Number `json:"overall"`

	User   string      `json:"user_id"`
	Parent string      `json:"parent_asin"` // item, of which asin is a variant such as a color
	Millis json.Number `json:"timestamp"`
	Rating json.Number `json:"rating"`
}

func (r review) interaction() interaction {
	if r.Reviewer != "" {
		return interaction{user: r.Reviewer, item: r.ASIN, rating: r.Overall.String(), time: r.Seconds.String()}
	}
	return interaction{user: r.User, item: r.Parent, rating: r.Rating.String(), time: r.Millis.String()}
}

// isReview reports whether a line is a review rather than an event, by its fields.
func isReview(line []byte) bool {
	fields := fieldsOfObject(line)
	return fields["event_id"] == nil && (fields["reviewerID"] != nil || fields["parent_asin"] != nil)
}

func (r reviewReader) next() (row, error) {
	next, err := r.lines.next()
	if err != nil || next.err != nil {
		return next, err
	}
	var parsed review
	var syntax *json.SyntaxError
	switch err := json.Unmarshal(next.value, &parsed); {
	case errors.As(err, &syntax): // decoding it as an event will return the error
	case err != nil:
		next.err = err
	default:
		i := parsed.interaction()
		next.value, next.time = i.event(r.options), i.time
	}
	return next, nil
}

// formatOfColumns returns the format that has these columns, or these values in its first row.
func formatOfColumns(first []string) Format {
	has := func(name string) bool { return slices.Contains(first, name) }
	_, amazonRatings := amazonOrder(first)
	switch {
	case has("event_id"):
		return Events
	case has("userId") && has("movieId"):
		return MovieLens
	case has("user_id") && has("parent_asin"), amazonRatings:
		return Amazon
	default:
		return Events
	}
}

var (
	asin       = regexp.MustCompile(`^(B[0-9A-Z]{9}|[0-9]{9}[0-9X])$`)
	reviewerID = regexp.MustCompile(`^A[0-9A-Z]{9,}$`)
)

// amazonOrder returns the order of Amazon's ratings without column names, by a row: users come
// first in those of 2014, items in those of 2018.
func amazonOrder(record []string) (datasetColumns, bool) {
	order := ratingOrder
	if len(record) != order.of || strings.Trim(record[order.time], "0123456789") != "" {
		return datasetColumns{}, false
	}
	switch {
	case reviewerID.MatchString(record[0]) && asin.MatchString(record[1]):
		return order, true
	case asin.MatchString(record[0]) && reviewerID.MatchString(record[1]):
		order.user, order.item = order.item, order.user
		return order, true
	default:
		return datasetColumns{}, false
	}
}
