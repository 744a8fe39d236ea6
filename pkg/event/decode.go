package event

import (
	"bytes"
	"encoding/json"
	"errors"
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

// Decode reads one JSON event, judging its timestamp against now. The error is
// always an *InvalidError.
func Decode(value []byte, now time.Time, limits Limits) (Event, error) {
	if e, ok := decodePlain(value, now, limits); ok {
		return e, nil
	}
	e, invalid := decode(value, now, limits)
	if invalid != nil {
		return Event{}, invalid
	}
	return e, nil
}

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

// object maps to its fields without the ones that are null, which many
// producers write for absent.
type object map[string]json.RawMessage

// decodeFields decodes into a map because encoding/json matches the fields of
// a struct in any case, and the schema does not.
func decodeFields(value []byte, maxBytes int) (object, *InvalidError) {
	if len(value) > maxBytes {
		return nil, invalid(TooLarge, "%d bytes, at most %d are accepted", len(value), maxBytes)
	}
	// encoding/json would replace broken bytes, and different ids could become one.
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

// CheckID says what is wrong with the id of a user or an item outside of an event.
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
	// Redis would take an empty hash tag from {id} and scatter the user's keys.
	case id[0] == '}':
		return invalid(BadID, "%s starts with '}'", name)
	case isPrintableASCII(id):
		return nil
	case strings.ContainsFunc(id, unicode.IsControl):
		return invalid(BadID, "%s contains a control character: %s", name, quote(id))
	case strings.ContainsRune(id, utf8.RuneError):
		return invalid(BadID, "%s contains U+FFFD, so its encoding is broken: %s", name, quote(id))
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

// rfc3339 is the pattern in schema.json; time.Parse alone also takes a comma
// before the fraction and hours of one digit.
var rfc3339 = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$`)

func parseTime(raw json.RawMessage) (time.Time, bool) {
	if raw[0] != '"' {
		ms, err := strconv.ParseFloat(string(raw), 64)
		// Past 2^53 a float64 skips integers.
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
