package backfill

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"genrec/pkg/event"
)

// newJSON reads a file of JSON objects, one a line, as the first one is: events as producers
// write them, reviews, or objects that tell the same in other words.
func newJSON(in *bufio.Reader, first []byte, format Format, words Words) (rows, error) {
	var fields map[string]json.RawMessage
	isObject := json.Unmarshal(first, &fields) == nil
	_, unlike := words.Columns.fieldsOf(slices.Sorted(maps.Keys(fields)))
	switch lines := newLines(in); {
	case format == Auto && isReview(first):
		return reviews{lines}, nil
	case bytes.HasPrefix(bytes.TrimSpace(first), []byte("[")):
		return nil, errors.New("is an array: write one object a line, for instance with: jq --compact-output '.[]'")
	case isObject && unlike == nil && (words.given() || !isEvent(first)):
		return objects{lines, words}, nil
	case isObject && words.given():
		return nil, fmt.Errorf("line 1: %w", unlike)
	default:
		return lines, nil // of which those that are no events are refused, one by one
	}
}

func isEvent(line []byte) bool {
	_, err := event.Decode(line, time.Now(), event.DefaultLimits())
	return err == nil
}

// objects is JSON Lines with what tables have: other names, numbers as ids, times of all kinds.
type objects struct {
	lines *lines
	words Words
}

func (o objects) next() (row, error) {
	next, err := o.lines.next()
	if err != nil || next.err != nil {
		return next, err
	}
	var values map[string]json.RawMessage
	if json.Unmarshal(next.value, &values) == nil { // or it is no event either, which says so
		next.value, next.err = o.event(values)
	}
	return next, nil
}

func (o objects) event(values map[string]json.RawMessage) ([]byte, error) {
	names := slices.Sorted(maps.Keys(values))
	fields, err := o.words.Columns.fieldsOf(names)
	if err != nil {
		return nil, err
	}
	record := make([]string, len(names))
	for i, name := range names {
		if fields[i] == "" {
			continue
		}
		if record[i], err = plainText(values[name], fields[i] == "context"); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return o.words.event(fields, record), nil
}

// plainText is a JSON value as a table has it.
func plainText(value json.RawMessage, raw bool) (text string, err error) {
	switch first := value[0]; {
	case string(value) == "null":
		return "", nil
	case raw || first == '-' || first >= '0' && first <= '9':
		return string(value), nil
	case first == '"':
		err = json.Unmarshal(value, &text)
		return text, err
	default:
		return "", fmt.Errorf("%.20s is neither a text nor a number", value)
	}
}
