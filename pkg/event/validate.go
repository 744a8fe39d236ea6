package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxIDBytes bounds the ids of events, users and items.
const maxIDBytes = 256

// Reason is a short, stable code of why an event is invalid. It labels metrics and dead letters.
type Reason string

// The reasons for which Decode rejects an event.
const (
	TooLarge     Reason = "too_large"
	NotJSON      Reason = "not_json"
	MissingField Reason = "missing_field"
	BadID        Reason = "bad_id"
	BadTimestamp Reason = "bad_timestamp"
	UnknownType  Reason = "unknown_type"
	BadContext   Reason = "bad_context"
)

// InvalidError is why an event is invalid.
type InvalidError struct {
	Reason Reason // code
	Detail string // for people; its length is bounded, whatever the event contains
}

// Error returns the reason and the detail.
func (e *InvalidError) Error() string {
	return fmt.Sprintf("invalid event: %s: %s", e.Reason, e.Detail)
}

func invalid(reason Reason, format string, args ...any) *InvalidError {
	return &InvalidError{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

const maxQuoted = 64

// quote quotes the beginning of untrusted text in ASCII, for logs and headers.
func quote[T ~string | ~[]byte](text T) string {
	if len(text) > maxQuoted {
		return strconv.QuoteToASCII(string(text[:maxQuoted])) + "..."
	}
	return strconv.QuoteToASCII(string(text))
}

// Decode parses and validates a JSON event. Its timestamp must not be too far ahead of now. The
// error is always an *InvalidError.
func Decode(value []byte, now time.Time, limits Limits) (Event, error) {
	if e, ok := decodeFast(value, now, limits); ok {
		return e, nil
	}
	e, invalid := decode(value, now, limits)
	if invalid != nil {
		return Event{}, invalid
	}
	return e, nil
}

// decode is Decode without the fast path.
func decode(value []byte, now time.Time, limits Limits) (Event, *InvalidError) {
	fields, err := decodeFields(value, limits.MaxBytes)
	if err != nil {
		return Event{}, err
	}
	var e Event
	if e.ID, err = decodeID(fields, "event_id"); err != nil {
		return Event{}, err
	}
	if e.User, err = decodeID(fields, "user_id"); err != nil {
		return Event{}, err
	}
	if e.Item, err = decodeID(fields, "item_id"); err != nil {
		return Event{}, err
	}
	if e.Time, err = decodeTime(fields, now, limits); err != nil {
		return Event{}, err
	}
	if e.Type, err = decodeType(fields, limits.Types); err != nil {
		return Event{}, err
	}
	if e.Context, err = decodeContext(fields); err != nil {
		return Event{}, err
	}
	if _, given := fields["rec_id"]; given {
		if e.RecID, err = decodeID(fields, "rec_id"); err != nil {
			return Event{}, err
		}
	}
	return e, nil
}

// object contains the fields of a JSON object, except those that are null: many producers write
// null for absent.
type object map[string]json.RawMessage

// decodeFields decodes into a map because encoding/json matches the field names of a struct
// case-insensitively, unlike the schema.
func decodeFields(value []byte, maxBytes int) (object, *InvalidError) {
	if len(value) > maxBytes {
		return nil, invalid(TooLarge, "%d bytes, at most %d are accepted", len(value), maxBytes)
	}
	// encoding/json would replace invalid bytes, and different ids could become equal.
	if !utf8.Valid(value) {
		return nil, invalid(NotJSON, "not UTF-8")
	}
	var (
		fields object
		syntax *json.SyntaxError
	)
	switch err := json.Unmarshal(value, &fields); {
	case errors.As(err, &syntax):
		return nil, invalid(NotJSON, "%v, after %d bytes", syntax, syntax.Offset)
	case err != nil || fields == nil:
		return nil, invalid(NotJSON, "%s, want a JSON object", quote(value))
	}
	for name, raw := range fields {
		if string(raw) == "null" {
			delete(fields, name)
		}
	}
	return fields, nil
}

func decodeID(fields object, name string) (string, *InvalidError) {
	raw, ok := fields[name]
	if !ok {
		return "", invalid(MissingField, "%s", name)
	}
	var id string
	if err := json.Unmarshal(raw, &id); err != nil {
		if c := raw[0]; c == '-' || '0' <= c && c <= '9' {
			return "", invalid(BadID, "%s is the number %s, want a string: put it in quotes", name, quote(raw))
		}
		return "", invalid(BadID, "%s is %s, want a string", name, quote(raw))
	}
	return id, checkID(name, id)
}

// CheckID returns why an id of a user or item is invalid. name is how the error calls it.
func CheckID(name, id string) error {
	if invalid := checkID(name, id); invalid != nil {
		return errors.New(invalid.Detail)
	}
	return nil
}

func checkID(name, id string) *InvalidError {
	switch {
	case id == "":
		return invalid(BadID, "%s is empty", name)
	case len(id) > maxIDBytes:
		return invalid(BadID, "%s has %d bytes, at most %d are accepted", name, len(id), maxIDBytes)
	// In Redis keys with {id}, the hash tag would be empty, and the user's keys on different slots.
	case id[0] == '}':
		return invalid(BadID, "%s starts with '}'", name)
	case isPrintableASCII(id):
		return nil
	case strings.ContainsFunc(id, unicode.IsControl):
		return invalid(BadID, "%s contains a control character: %s", name, quote(id))
	case strings.ContainsRune(id, utf8.RuneError):
		return invalid(BadID, "%s contains U+FFFD, which results from an encoding error: %s", name, quote(id))
	}
	return nil
}

func isPrintableASCII(text string) bool {
	for _, c := range []byte(text) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

func decodeTime(fields object, now time.Time, limits Limits) (time.Time, *InvalidError) {
	raw, ok := fields["timestamp"]
	if !ok {
		return time.Time{}, invalid(MissingField, "timestamp")
	}
	t, ok := parseTime(raw)
	switch {
	case !ok:
		return time.Time{}, invalid(BadTimestamp, "%s, want RFC 3339 or milliseconds since the Unix epoch", quote(raw))
	case t.Before(limits.Earliest):
		return time.Time{}, invalid(BadTimestamp, "%s is before %s; numbers are milliseconds", quote(raw), limits.Earliest.Format(time.DateOnly))
	case t.After(now.Add(limits.MaxAhead)):
		return time.Time{}, invalid(BadTimestamp, "%s is more than %v ahead; numbers are milliseconds", quote(raw), limits.MaxAhead)
	}
	return t, nil
}

// rfc3339 is the pattern in schema.json. time.Parse alone also accepts a comma before the fraction
// and hours with one digit.
var rfc3339 = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$`)

func parseTime(raw json.RawMessage) (time.Time, bool) {
	if raw[0] != '"' {
		ms, err := strconv.ParseFloat(string(raw), 64)
		// Beyond 2^53, a float64 cannot represent all integers.
		if err != nil || ms < -1<<53 || ms > 1<<53 {
			return time.Time{}, false
		}
		return time.UnixMilli(int64(ms)).UTC(), true
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return time.Time{}, false
	}
	return parseTimeText(text)
}

func parseTimeText(text string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || !rfc3339.MatchString(text) {
		return time.Time{}, false
	}
	return t.UTC().Truncate(time.Millisecond), true
}

func decodeType(fields object, known []string) (string, *InvalidError) {
	raw, ok := fields["type"]
	if !ok {
		return DefaultType, nil
	}
	var name string
	if err := json.Unmarshal(raw, &name); err != nil || !slices.Contains(known, name) {
		return "", invalid(UnknownType, "%s, known are %s", quote(raw), strings.Join(known, ", "))
	}
	return name, nil
}

func decodeContext(fields object) (json.RawMessage, *InvalidError) {
	raw, ok := fields["context"]
	if !ok {
		return nil, nil
	}
	if !bytes.HasPrefix(raw, []byte("{")) {
		return nil, invalid(BadContext, "%s, want a JSON object", quote(raw))
	}
	return raw, nil
}
