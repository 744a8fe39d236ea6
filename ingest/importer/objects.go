package importer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"genrec/pkg/event"
)

// newJSON reads a file of JSON objects, one a line: reviews if the first one is one, and else
// events as producers write them, or objects that tell the same in other words.
func newJSON(in *bufio.Reader, first []byte, r reading) (rows, error) {
	o := &objects{lines: newLines(in), reading: r}
	values := fieldsOfObject(first)
	switch {
	case r.NoHeader:
		return nil, errors.New("is JSON, and --no-header is for tables of text: choose one")
	case r.format == Auto && isReview(first):
		return reviews{o.lines, r}, nil
	case bytes.HasPrefix(bytes.TrimSpace(first), []byte("[")):
		return nil, errors.New("is an array: write one object a line, for instance with: jq --compact-output '.[]'")
	case values != nil && r.given():
		if _, _, err := o.understand(values); err != nil {
			return nil, fmt.Errorf("line 1: %w", err)
		}
	}
	return o, nil
}

// objects is JSON Lines: events, or what tables have: other names, numbers as ids, times of all
// kinds. Several events of a line are in an array of it.
type objects struct {
	lines   *lines
	reading reading
	left    *expansion // of a line of which rows were returned
}

func (o *objects) next() (row, error) {
	for {
		if o.left != nil {
			r := o.left.row(o.reading)
			if !r.more {
				o.left = nil
			}
			return r, nil
		}
		next, err := o.lines.next()
		if err != nil || next.err != nil {
			return next, err
		}
		if !o.reading.given() && len(o.reading.partitions) == 0 {
			if e, err := event.Decode(next.value, time.Now(), o.reading.limits); err == nil {
				next.event = &e
				return next, nil
			}
		}
		values := fieldsOfObject(next.value)
		if values == nil {
			return next, nil // it is no event either, which says so
		}
		if next, ok := o.expand(next, values); ok {
			return next, nil
		}
	}
}

// fieldsOfObject is nil of what is no JSON object.
func fieldsOfObject(text []byte) (fields map[string]json.RawMessage) {
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil
	}
	return fields
}

// expand returns a row of the object, or none if it has an empty array of events.
func (o *objects) expand(next row, values map[string]json.RawMessage) (row, bool) {
	sources, fields, err := o.understand(values)
	if err != nil {
		next.err = err
		return next, true
	}
	e := &expansion{line: next, sources: sources, fields: fields, elements: 1}
	for _, s := range sources {
		switch {
		case s.array == "":
		case e.array == "":
			e.array, e.elements = s.array, len(s.elements)
		case e.array != s.array:
			next.err = fmt.Errorf("%s and %s are two arrays: the columns of an event come from one", e.array, s.array)
			return next, true
		}
	}
	if e.elements == 0 {
		return row{}, false
	}
	o.left = e
	first := e.row(o.reading)
	if !first.more {
		o.left = nil
	}
	return first, true
}

// understand finds the values of an object's columns, and which field each is, or each
// partition behind them.
func (o *objects) understand(values map[string]json.RawMessage) ([]source, []string, error) {
	names := slices.Sorted(maps.Keys(values))
	sources := make([]source, len(names), len(names)+len(o.reading.Columns))
	for i, name := range names {
		sources[i] = source{name: name, value: values[name]}
	}
	for _, path := range slices.Sorted(maps.Keys(o.reading.Columns)) {
		field := o.reading.Columns[path]
		found, err := find(values, path, field == "context")
		at, top := slices.BinarySearch(names[:len(values)], path)
		switch {
		case err != nil:
			return nil, nil, fmt.Errorf("%s for %s: %w", path, field, err)
		case top:
			sources[at] = found
		case found.found():
			names, sources = append(names, path), append(sources, found)
		case slices.Contains(required, field) && !slices.Contains(o.reading.withPartitions(nil), path):
			return nil, nil, noColumn(path, field, paths(values, ""))
		}
	}
	fields, err := o.reading.Columns.fieldsOf(o.reading.withPartitions(names))
	if missing := (missingError{}); errors.As(err, &missing) {
		err = noField(missing.field, paths(values, "")) // with those inside of others, too
	}
	return sources, fields, err
}

// source is where the values of a column are: in a field of the object, or in those of the
// elements of an array.
type source struct {
	name     string
	value    json.RawMessage
	array    string // path of the array; "" is none
	elements []json.RawMessage
	inside   string // path in an element; "" is the element
}

func (s source) found() bool { return s.value != nil || s.array != "" }

// find follows a path through objects and one array.
func find(values map[string]json.RawMessage, path string, raw bool) (source, error) {
	name, rest, nested := path, "", false
	value, found := values[path]
	if !found {
		name, rest, nested = strings.Cut(path, ".")
		value = values[name]
	}
	s := source{name: path}
	switch {
	case value == nil || string(value) == "null":
		return s, nil
	case nested && value[0] == '{':
		var inner map[string]json.RawMessage
		if err := json.Unmarshal(value, &inner); err != nil {
			return s, err
		}
		found, err := find(inner, rest, raw)
		found.name = path
		if found.array != "" {
			found.array = name + "." + found.array
		}
		return found, err
	case value[0] == '[' && !raw:
		s.array, s.inside = name, rest
		return s, json.Unmarshal(value, &s.elements)
	case nested:
		return s, fmt.Errorf("%s is %.20s, want an object or an array", name, value)
	}
	s.value = value
	return s, nil
}

// paths are what columns inside of an object can be called.
func paths(values map[string]json.RawMessage, prefix string) (all []string) {
	const deepest = 3
	for _, name := range slices.Sorted(maps.Keys(values)) {
		value, path := values[name], prefix+name
		if value[0] == '[' {
			var elements []json.RawMessage
			if json.Unmarshal(value, &elements) == nil && len(elements) > 0 {
				value = elements[0]
			}
		}
		var inner map[string]json.RawMessage
		if value[0] == '{' && strings.Count(path, ".") < deepest && json.Unmarshal(value, &inner) == nil && len(inner) > 0 {
			all = append(all, paths(inner, path+".")...)
		} else {
			all = append(all, path)
		}
	}
	return all
}

// expansion is the rows of a line.
type expansion struct {
	line     row
	sources  []source
	fields   []string
	array    string
	elements int // rows
	at       int
}

// row returns the next one.
func (e *expansion) row(r reading) row {
	next := row{number: e.line.number, more: e.at+1 < e.elements}
	if e.array != "" {
		next.within = fmt.Sprintf("%s[%d]", e.array, e.at)
	}
	record := make([]string, len(e.sources))
	for i, s := range e.sources {
		if e.fields[i] == "" {
			continue
		}
		value, err := s.of(e.at, e.fields[i] == "context")
		if err == nil && value != nil {
			record[i], err = plainText(value, e.fields[i])
		}
		if err != nil && next.err == nil {
			next.err, next.value = fmt.Errorf("%s: %w", s.name, err), e.line.value
		}
	}
	e.at++
	if next.err == nil {
		next.value, next.time = r.event(e.fields, record)
	}
	return next
}

// of is the value for a row.
func (s source) of(at int, raw bool) (json.RawMessage, error) {
	if s.array == "" {
		return s.value, nil
	}
	element := s.elements[at]
	if s.inside == "" {
		return element, nil
	}
	var inner map[string]json.RawMessage
	if err := json.Unmarshal(element, &inner); err != nil {
		return nil, fmt.Errorf("%.20s is no object", element)
	}
	found, err := find(inner, s.inside, raw)
	if err == nil && found.array != "" {
		err = fmt.Errorf("%s is an array inside of the array %s: write one object a line", found.array, s.array)
	}
	return found.value, err
}

// plainText is a JSON value as a table has it.
func plainText(value json.RawMessage, field string) (text string, err error) {
	switch first := value[0]; {
	case string(value) == "null":
		return "", nil
	case field == "context":
		return string(value), nil
	case first == '-' || first >= '0' && first <= '9':
		return numberText(string(value), field)
	case first == '"':
		err = json.Unmarshal(value, &text)
		return text, err
	default:
		return "", fmt.Errorf("%.20s is neither a text nor a number", value)
	}
}

// numberText is a number as text. As an id, 42.0 and 4.2e1 are 42, as other programs write it.
func numberText(number, field string) (string, error) {
	if field == "timestamp" || !strings.ContainsAny(number, ".eE") {
		return number, nil
	}
	n, err := strconv.ParseFloat(number, 64)
	if text, ok := wholeNumber(n, 64); err == nil && ok && !math.Signbit(n) {
		return text, nil
	}
	return "", fmt.Errorf("%.20s is no whole number, want a text", number)
}
