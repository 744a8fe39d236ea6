package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"

	"genrec/pkg/event"
	"genrec/pkg/recs"
)

const maxUsers = 100 // per request

func (s *Server) recommendUser(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if err := event.CheckID("user_id", id); err != nil {
		WriteProblem(w, http.StatusBadRequest, "%v", err)
		return
	}
	query, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		WriteProblem(w, http.StatusBadRequest, "%v", err)
		return
	}
	if answers, ok := s.read(w, r, []string{id}, query); ok {
		WriteJSON(w, http.StatusOK, answers[0])
	}
}

func (s *Server) recommendUsers(w http.ResponseWriter, r *http.Request) {
	body, ok := readBody(w, r)
	if !ok {
		return
	}
	users, query, err := parseBatch(body)
	if err != nil {
		WriteProblem(w, http.StatusBadRequest, "%v", err)
		return
	}
	if answers, ok := s.read(w, r, users, query); ok {
		WriteJSON(w, http.StatusOK, map[string][]recs.Answer{"recommendations": answers})
	}
}

// read responds with a problem and returns false if Redis is unavailable.
func (s *Server) read(w http.ResponseWriter, r *http.Request, users []string, q recs.Query) ([]recs.Answer, bool) {
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	answers, err := s.reader.Read(ctx, users, q)
	if err != nil {
		s.unavailable(ctx, w, "recommendations cannot be read", err)
		return nil, false
	}
	s.metrics.countAnswers(answers)
	return answers, true
}

// parseQuery parses ?n=&exclude=&exclude_seen=&category=&diversity=, of which exclude and
// category may be repeated.
func parseQuery(raw string) (q recs.Query, err error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return q, fmt.Errorf("invalid query string: %w", err)
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
			err = fmt.Errorf("unknown parameter %.40q: the parameters are n, exclude, exclude_seen, category and diversity", name)
		}
		if err != nil {
			return recs.Query{}, err
		}
	}
	return validate(q)
}

func parseCount(name, text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > recs.MaxN {
		return 0, fmt.Errorf("%s is %.40q: it must be a number from 1 to %d", name, text, recs.MaxN)
	}
	return n, nil
}

// parseBatch decodes a query for several users. Field names are case-sensitive, as in the schema,
// and optional fields may be null.
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
			err = fmt.Errorf("unknown field %.40q: the fields are user_ids, n, exclude, exclude_seen, category and diversity", name)
		}
		if err != nil {
			return nil, recs.Query{}, err
		}
	}
	if len(users) == 0 || len(users) > maxUsers {
		return nil, recs.Query{}, fmt.Errorf("user_ids has %d users: it must have from 1 to %d", len(users), maxUsers)
	}
	for _, id := range users {
		if err := event.CheckID("user_ids", id); err != nil {
			return nil, recs.Query{}, err
		}
	}
	q, err = validate(q)
	return users, q, err
}

// decodeObject decodes a JSON object that nothing may follow.
func decodeObject(body []byte) (fields map[string]json.RawMessage, err error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	if err := decoder.Decode(&fields); err != nil {
		return nil, fmt.Errorf("the body is not a JSON object: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the body continues after the JSON object")
	}
	return fields, nil
}

func decodeField[T any](name string, value json.RawMessage, want string) (field T, err error) {
	if json.Unmarshal(value, &field) != nil {
		err = fmt.Errorf("%s is %.40s: it must be %s", name, value, want)
	}
	return field, err
}

// decodeCount accepts an integer in any notation: in JSON Schema, 10.0 and 1e1 are integers.
func decodeCount(name string, value json.RawMessage) (int, error) {
	text := string(value)
	var number float64
	if json.Unmarshal(value, &number) == nil && number == math.Trunc(number) {
		text = strconv.FormatFloat(number, 'f', -1, 64)
	}
	return parseCount(name, text)
}

// validate rejects invalid item IDs and empty categories, which would match nothing, and values
// out of range.
func validate(q recs.Query) (recs.Query, error) {
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
