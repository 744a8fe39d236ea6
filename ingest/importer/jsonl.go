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

// newJSONReader returns the reader of a file of JSON Lines: Amazon's reviews if the first line is
// one, otherwise events or objects that are mapped to events.
func newJSONReader(in *bufio.Reader, first []byte, o fileOptions) (rowReader, error) {
	j := &jsonReader{lines: newLineReader(in), options: o}
	values := fieldsOfObject(first)
	switch {
	case o.NoHeader:
		return nil, errors.New("is JSON, but --no-header is only for text tables")
	case o.format == Auto && isReview(first):
		return reviewReader{j.lines, o}, nil
	case bytes.HasPrefix(bytes.TrimSpace(first), []byte("[")):
		return nil, errors.New("is an array: write one object in each line, for instance with: jq --compact-output '.[]'")
	case values != nil && o.given():
		if _, _, err := j.resolveColumns(values); err != nil {
			return nil, fmt.Errorf("line 1: %w", err)
		}
	}
	return j, nil
}

// jsonReader reads JSON Lines. A line is an event, or an object with other names, numeric ids and
// other times. A line with an array has a row for each element of the array.
type jsonReader struct {
	lines   *lineReader
	options fileOptions
	pending *arrayRows // rows of the latest line that were not returned; nil: none
}

func (j *jsonReader) next() (row, error) {
	for {
		if j.pending != nil {
			r := j.pending.next(j.options)
			if !r.more {
				j.pending = nil
			}
			return r, nil
		}
		next, err := j.lines.next()
		if err != nil || next.err != nil {
			return next, err
		}
		if !j.options.given() && len(j.options.partitions) == 0 {
			if e, err := event.Decode(next.value, time.Now(), j.options.limits); err == nil {
				next.event = &e
				return next, nil
			}
		}
		values := fieldsOfObject(next.value)
		if values == nil {
			return next, nil // decoding it as an event will return the error
		}
		rows, err := j.rowsOf(next, values)
		if err != nil {
			next.err = err
			return next, nil //nolint:nilerr // the error is that of the row
		}
		if rows.elements > 0 {
			j.pending = rows
		}
	}
}

// fieldsOfObject returns nil if the text is not a JSON object.
func fieldsOfObject(text []byte) (fields map[string]json.RawMessage) {
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil
	}
	return fields
}

// rowsOf returns the rows of an object. There are none if its array of events is empty.
func (j *jsonReader) rowsOf(line row, values map[string]json.RawMessage) (*arrayRows, error) {
	columns, fields, err := j.resolveColumns(values)
	if err != nil {
		return nil, err
	}
	rows := &arrayRows{line: line, columns: columns, fields: fields, elements: 1}
	for _, c := range columns {
		switch {
		case c.array == "":
		case rows.array == "":
			rows.array, rows.elements = c.array, len(c.elements)
		case rows.array != c.array:
			return nil, fmt.Errorf("%s and %s are two arrays: the columns of an event must be in one", rows.array, c.array)
		}
	}
	return rows, nil
}

// resolveColumns returns the columns of an object, and the field of each, and of each partition
// column after them.
func (j *jsonReader) resolveColumns(values map[string]json.RawMessage) ([]jsonColumn, []string, error) {
	names := slices.Sorted(maps.Keys(values))
	columns := make([]jsonColumn, len(names), len(names)+len(j.options.Columns))
	for i, name := range names {
		columns[i] = jsonColumn{name: name, value: values[name]}
	}
	for _, path := range slices.Sorted(maps.Keys(j.options.Columns)) {
		field := j.options.Columns[path]
		found, err := findColumn(values, path, field == "context")
		at, top := slices.BinarySearch(names[:len(values)], path)
		switch {
		case err != nil:
			return nil, nil, fmt.Errorf("%s for %s: %w", path, field, err)
		case top:
			columns[at] = found
		case found.exists():
			names, columns = append(names, path), append(columns, found)
		case slices.Contains(requiredFields, field) && !slices.Contains(j.options.withPartitions(nil), path):
			return nil, nil, missingMappedColumn(path, field, columnPaths(values, ""))
		}
	}
	fields, err := j.options.Columns.fieldsOf(j.options.withPartitions(names))
	if missing := (missingColumnError{}); errors.As(err, &missing) {
		err = missingField(missing.field, columnPaths(values, "")) // lists nested columns, too
	}
	return columns, fields, err
}

// jsonColumn is a column of an object: a value, or a value in each element of an array.
type jsonColumn struct {
	name     string
	value    json.RawMessage   // nil: the values are in an array, or there is none
	array    string            // path of the array; "": none
	elements []json.RawMessage // of the array
	inside   string            // path in an element; "": the element itself
}

func (c jsonColumn) exists() bool { return c.value != nil || c.array != "" }

// findColumn follows a path through objects and at most one array. With raw, an array is a value.
func findColumn(values map[string]json.RawMessage, path string, raw bool) (jsonColumn, error) {
	name, rest, nested := path, "", false
	value, found := values[path]
	if !found {
		name, rest, nested = strings.Cut(path, ".")
		value = values[name]
	}
	s := jsonColumn{name: path}
	switch {
	case value == nil || string(value) == "null":
		return s, nil
	case nested && value[0] == '{':
		var inner map[string]json.RawMessage
		if err := json.Unmarshal(value, &inner); err != nil {
			return s, err
		}
		found, err := findColumn(inner, rest, raw)
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

// columnPaths returns the paths of the columns in an object.
func columnPaths(values map[string]json.RawMessage, prefix string) (all []string) {
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
			all = append(all, columnPaths(inner, path+".")...)
		} else {
			all = append(all, path)
		}
	}
	return all
}

// arrayRows are the rows of a line: one for each element of its array, or one without an array.
type arrayRows struct {
	line     row
	columns  []jsonColumn
	fields   []string // of the columns
	array    string   // path; "": none
	elements int      // number of rows
	at       int      // index of the next row
}

// next returns the next row.
func (e *arrayRows) next(o fileOptions) row {
	next := row{number: e.line.number, more: e.at+1 < e.elements}
	if e.array != "" {
		next.within = fmt.Sprintf("%s[%d]", e.array, e.at)
	}
	record := make([]string, len(e.columns))
	for i, c := range e.columns {
		if e.fields[i] == "" {
			continue
		}
		value, err := c.valueAt(e.at, e.fields[i] == "context")
		if err == nil && value != nil {
			record[i], err = textOfJSON(value, e.fields[i])
		}
		if err != nil && next.err == nil {
			next.err, next.value = fmt.Errorf("%s: %w", c.name, err), e.line.value
		}
	}
	e.at++
	if next.err == nil {
		next.value, next.time = o.event(e.fields, record)
	}
	return next
}

// valueAt returns the value in a row.
func (c jsonColumn) valueAt(at int, raw bool) (json.RawMessage, error) {
	if c.array == "" {
		return c.value, nil
	}
	element := c.elements[at]
	if c.inside == "" {
		return element, nil
	}
	var inner map[string]json.RawMessage
	if err := json.Unmarshal(element, &inner); err != nil {
		return nil, fmt.Errorf("%.20s is not an object", element)
	}
	found, err := findColumn(inner, c.inside, raw)
	if err == nil && found.array != "" {
		err = fmt.Errorf("%s is an array inside of the array %s: write one object in each line", found.array, c.array)
	}
	return found.value, err
}

// textOfJSON returns a JSON value as text.
func textOfJSON(value json.RawMessage, field string) (text string, err error) {
	switch first := value[0]; {
	case string(value) == "null":
		return "", nil
	case field == "context":
		return string(value), nil
	case first == '-' || first >= '0' && first <= '9':
		return textOfNumber(string(value), field)
	case first == '"':
		err = json.Unmarshal(value, &text)
		return text, err
	default:
		return "", fmt.Errorf("%.20s is neither a string nor a number", value)
	}
}

// textOfNumber returns a JSON number as text. As an id, 42.0 and 4.2e1 are 42, as other programs
// write them.
func textOfNumber(number, field string) (string, error) {
	if field == "timestamp" || !strings.ContainsAny(number, ".eE") {
		return number, nil
	}
	n, err := strconv.ParseFloat(number, 64)
	if text, ok := wholeNumber(n, 64); err == nil && ok && !math.Signbit(n) {
		return text, nil
	}
	return "", fmt.Errorf("%.20s is not an integer, want a string", number)
}
