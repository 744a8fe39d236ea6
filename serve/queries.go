package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"

	"genrec/pkg/event"
	"genrec/pkg/recs"
)

// maxUsers of one batch.
const maxUsers = 100

// parseQuery reads ?n=&exclude=&exclude_seen=&category=&diversity=, of which exclude and
// category may be there several times.
func parseQuery(raw string) (q recs.Query, err error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return q, fmt.Errorf("the query cannot be read: %w", err)
	}
	for name, given := range values {
		if len(given) > 1 && name != "exclude" && name != "category" {
			return q, fmt.Errorf("%s is given %d times", name, len(given))
		}
		switch name {
		case "n":
			q.N, err = parseCount(name, given[0])
		case "diversity":
			q.PerCategory, err = parseCount(name, given[0])
		case "exclude_seen":
			if q.ExcludeSeen, err = strconv.ParseBool(given[0]); err != nil {
				err = fmt.Errorf("exclude_seen is %.40q: it must be true or false", given[0])
			}
		case "exclude":
			q.Exclude = given
		case "category":
			q.Categories = given
		default:
			err = fmt.Errorf("there is no parameter %.40q: n, exclude, exclude_seen, category and diversity are known", name)
		}
		if err != nil {
			return recs.Query{}, err
		}
	}
	return checked(q)
}

func parseCount(name, text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > recs.MaxN {
		return 0, fmt.Errorf("%s is %.40q: it must be a number from 1 to %d", name, text, recs.MaxN)
	}
	return n, nil
}

// batch is the body of a question about several users.
type batch struct {
	Users       []string `json:"user_ids"`
	N           *int     `json:"n"`
	Exclude     []string `json:"exclude"`
	ExcludeSeen bool     `json:"exclude_seen"`
	Categories  []string `json:"category"`
	PerCategory *int     `json:"diversity"`
}

func parseBatch(body []byte) (users []string, q recs.Query, err error) {
	var b batch
	if err := decodeStrictly(body, &b); err != nil {
		return nil, q, err
	}
	if len(b.Users) == 0 || len(b.Users) > maxUsers {
		return nil, q, fmt.Errorf("user_ids names %d users: it must be from 1 to %d", len(b.Users), maxUsers)
	}
	for _, id := range b.Users {
		if err := event.CheckID("user_ids", id); err != nil {
			return nil, q, err
		}
	}
	q = recs.Query{Exclude: b.Exclude, ExcludeSeen: b.ExcludeSeen, Categories: b.Categories}
	for _, count := range []struct {
		name  string
		given *int
		into  *int
	}{{"n", b.N, &q.N}, {"diversity", b.PerCategory, &q.PerCategory}} {
		if count.given == nil {
			continue
		}
		if *count.into, err = parseCount(count.name, strconv.Itoa(*count.given)); err != nil {
			return nil, recs.Query{}, err
		}
	}
	q, err = checked(q)
	return b.Users, q, err
}

// checked refuses what no item and no category can be.
func checked(q recs.Query) (recs.Query, error) {
	for _, id := range q.Exclude {
		if err := event.CheckID("exclude", id); err != nil {
			return recs.Query{}, err
		}
	}
	for _, category := range q.Categories {
		if category == "" {
			return recs.Query{}, errors.New("a category is empty")
		}
	}
	return q, q.Validate()
}

// decodeStrictly refuses unknown fields, so that a misspelled filter is not left out, and
// whatever follows.
func decodeStrictly(body []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("the body is not the JSON that is expected: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON of the body")
	}
	return nil
}
