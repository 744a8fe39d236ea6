package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
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

// parseBatch reads a question about several users. Its names count as they are written, as the
// schema says, and optional fields may be null, as many clients write what they leave out.
func parseBatch(body []byte) (users []string, q recs.Query, err error) {
	fields, err := decodeObject(body)
	if err != nil {
		return nil, q, err
	}
	for name, value := range fields {
		if string(value) == "null" && name != "user_ids" {
			continue
		}
		switch name {
		case "user_ids":
			users, err = decodeField[[]string](name, value, "an array of strings")
		case "n":
			q.N, err = decodeCount(name, value)
		case "diversity":
			q.PerCategory, err = decodeCount(name, value)
		case "exclude_seen":
			q.ExcludeSeen, err = decodeField[bool](name, value, "true or false")
		case "exclude":
			q.Exclude, err = decodeField[[]string](name, value, "an array of strings")
		case "category":
			q.Categories, err = decodeField[[]string](name, value, "an array of strings")
		default:
			err = fmt.Errorf("there is no field %.40q: user_ids, n, exclude, exclude_seen, category and diversity are known", name)
		}
		if err != nil {
			return nil, recs.Query{}, err
		}
	}
	if len(users) == 0 || len(users) > maxUsers {
		return nil, recs.Query{}, fmt.Errorf("user_ids names %d users: it must be from 1 to %d", len(users), maxUsers)
	}
	for _, id := range users {
		if err := event.CheckID("user_ids", id); err != nil {
			return nil, recs.Query{}, err
		}
	}
	q, err = checked(q)
	return users, q, err
}

func decodeField[T any](name string, value json.RawMessage, want string) (field T, err error) {
	if json.Unmarshal(value, &field) != nil {
		err = fmt.Errorf("%s is %.40s: it must be %s", name, value, want)
	}
	return field, err
}

// decodeCount takes any way to write an integer: to a JSON schema, 10.0 and 1e1 are 10.
func decodeCount(name string, value json.RawMessage) (int, error) {
	text := string(value)
	var number float64
	if json.Unmarshal(value, &number) == nil && number == math.Trunc(number) {
		text = strconv.FormatFloat(number, 'f', -1, 64)
	}
	return parseCount(name, text)
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

// decodeObject refuses whatever follows the object.
func decodeObject(body []byte) (fields map[string]json.RawMessage, err error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	if err := decoder.Decode(&fields); err != nil {
		return nil, fmt.Errorf("the body is not the JSON object that is expected: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON of the body")
	}
	return fields, nil
}
