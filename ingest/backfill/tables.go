package backfill

import (
	"errors"
	"regexp"
	"slices"
	"strings"
)

// understand learns from the first record what the columns are.
func (c *csvRows) understand(first []string, format Format, words Words) error {
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
		found, c.first = order, slices.Clone(first)
	case format == Amazon && !slices.Contains(first, "user_id"):
		return errors.New("has neither Amazon's column names, user_id, parent_asin, rating, timestamp, nor four fields of which one is an ASIN and another the id of a user")
	case format == Amazon:
		found, err = findColumns(first, "user_id", "parent_asin", "timestamp")
	default:
		fields, err := words.Columns.fieldsOfTable(first)
		c.value = func(record []string) []byte { return words.event(fields, record) }
		return err
	}
	c.value = func(record []string) []byte { return found.interaction(record).event() }
	return err
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
