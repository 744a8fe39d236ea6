package event

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// sample is an encoded event and the expected result. The schema is tested with the same samples.
type sample struct {
	name, json string
	want       Event
	reason     Reason // empty: accepted
	// beyondSchema marks what JSON Schema cannot express: only Decode rejects it.
	beyondSchema bool
}

// with returns a valid event with one of its fields replaced or added.
func with(field, raw string) string {
	fields := map[string]string{
		"event_id": `"e1"`, "user_id": `"u1"`, "item_id": `"i1"`, "timestamp": `1772366400000`,
	}
	fields[field] = raw
	var pairs []string
	for name, raw := range fields {
		pairs = append(pairs, fmt.Sprintf("%q: %s", name, raw))
	}
	return "{" + strings.Join(pairs, ", ") + "}"
}

func good(change func(*Event)) Event {
	e := Event{ID: "e1", User: "u1", Item: "i1", Type: "view", Time: now}
	change(&e)
	return e
}

func samples() []sample {
	accepted := func(name, json string, change func(*Event)) sample {
		return sample{name: name, json: json, want: good(change)}
	}
	rejected := func(name, json string, reason Reason) sample {
		return sample{name: name, json: json, reason: reason}
	}
	beyond := func(name, json string, reason Reason) sample {
		return sample{name: name, json: json, reason: reason, beyondSchema: true}
	}
	return []sample{
		accepted("minimal", with("user_id", `"u1"`), func(*Event) {}),
		accepted("other type", with("type", `"purchase"`), func(e *Event) { e.Type = "purchase" }),
		accepted("null type", with("type", `null`), func(*Event) {}),
		accepted("context", with("context", `{"page": {"n": 1}}`), func(e *Event) { e.Context = []byte(`{"page": {"n": 1}}`) }),
		accepted("rec_id", with("rec_id", `"R7.v000002"`), func(e *Event) { e.RecID = "R7.v000002" }),
		accepted("null rec_id", with("rec_id", `null`), func(*Event) {}),
		accepted("null context", with("context", `null`), func(*Event) {}),
		accepted("unknown field", with("sdk", `"1.2"`), func(*Event) {}),
		accepted("id in another script", with("item_id", `"ключ 鍵 🔑"`), func(e *Event) { e.Item = "ключ 鍵 🔑" }),
		accepted("escaped id", with("item_id", `"\u0041\ud83d\udd11"`), func(e *Event) { e.Item = "A🔑" }),
		accepted("brace inside an id", with("user_id", `"{a}"`), func(e *Event) { e.User = "{a}" }),
		accepted("longest id", with("event_id", `"`+strings.Repeat("e", 256)+`"`), func(e *Event) { e.ID = strings.Repeat("e", 256) }),
		accepted("RFC 3339", with("timestamp", `"2026-03-01T12:00:00Z"`), func(*Event) {}),
		accepted("RFC 3339 with offset", with("timestamp", `"2026-03-01T14:30:00.5+02:30"`), func(e *Event) { e.Time = now.Add(500 * time.Millisecond) }),
		accepted("fraction of a millisecond in text", with("timestamp", `"2026-03-01T12:00:00.001999Z"`), func(e *Event) { e.Time = now.Add(time.Millisecond) }),
		accepted("fraction of a millisecond in a number", with("timestamp", `1772366400001.75`), func(e *Event) { e.Time = now.Add(time.Millisecond) }),
		accepted("number with exponent", with("timestamp", `1.7723664e12`), func(*Event) {}),
		accepted("a little ahead", with("timestamp", `"2026-03-02T12:00:00Z"`), func(e *Event) { e.Time = now.Add(24 * time.Hour) }),

		rejected("empty", ``, NotJSON),
		rejected("cut off", `{"event_id": "e1"`, NotJSON),
		rejected("two values", with("user_id", `"u1"`)+`{}`, NotJSON),
		rejected("array", `[]`, NotJSON),
		rejected("null", `null`, NotJSON),
		rejected("not UTF-8", with("item_id", "\"\xff\""), NotJSON),
		rejected("no fields", `{}`, MissingField),
		rejected("no user", `{"event_id": "e1", "item_id": "i1", "timestamp": 1772366400000}`, MissingField),
		rejected("field name in another case", `{"EVENT_ID": "e1", "user_id": "u1", "item_id": "i1", "timestamp": 1772366400000}`, MissingField),
		rejected("null item", with("item_id", `null`), MissingField),
		rejected("null timestamp", with("timestamp", `null`), MissingField),
		rejected("number as id", with("user_id", `17`), BadID),
		rejected("empty id", with("item_id", `""`), BadID),
		rejected("id starting with a brace", with("user_id", `"}u"`), BadID),
		rejected("control character in an id", with("item_id", `"a\u001fb"`), BadID),
		rejected("C1 control character in an id", with("item_id", `"a\u0085"`), BadID),
		rejected("half a surrogate pair", with("item_id", `"\ud83d"`), BadID),
		rejected("id too long", with("event_id", `"`+strings.Repeat("e", 257)+`"`), BadID),
		beyond("id too long in bytes", with("event_id", `"`+strings.Repeat("é", 129)+`"`), BadID),
		rejected("local time", with("timestamp", `"2026-03-01 12:00:00"`), BadTimestamp),
		rejected("comma in the seconds", with("timestamp", `"2026-03-01T12:00:00,5Z"`), BadTimestamp),
		rejected("hour of one digit", with("timestamp", `"2026-03-01T9:00:00Z"`), BadTimestamp),
		rejected("offset of 25 hours", with("timestamp", `"2026-03-01T12:00:00+25:00"`), BadTimestamp),
		rejected("13th month", with("timestamp", `"2026-13-01T12:00:00Z"`), BadTimestamp),
		rejected("boolean timestamp", with("timestamp", `true`), BadTimestamp),
		rejected("seconds", with("timestamp", `1772366400`), BadTimestamp),
		rejected("nanoseconds", with("timestamp", `1772366400000000000`), BadTimestamp),
		beyond("before the earliest", with("timestamp", `"1989-12-31T23:59:59Z"`), BadTimestamp),
		beyond("too far ahead", with("timestamp", `"2026-03-02T12:00:00.001Z"`), BadTimestamp),
		rejected("unknown type", with("type", `"stare"`), UnknownType),
		rejected("empty type", with("type", `""`), UnknownType),
		rejected("number as type", with("type", `1`), UnknownType),
		rejected("text as context", with("context", `"page 1"`), BadContext),
		rejected("array as context", with("context", `[1]`), BadContext),
		rejected("number as rec_id", with("rec_id", `7`), BadID),
		rejected("empty rec_id", with("rec_id", `""`), BadID),
		beyond("too large", with("context", `{"a": "`+strings.Repeat("a", DefaultMaxBytes)+`"}`), TooLarge),
	}
}

func TestErrorForNumericID(t *testing.T) {
	_, err := Decode([]byte(`{"event_id": "e1", "user_id": 17, "item_id": "i1", "timestamp": 1772366400000}`), time.Now(), DefaultLimits())
	if want := `user_id is the number "17", want a string: put it in quotes`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got error %v, want %s", err, want)
	}
}

func TestDecode(t *testing.T) {
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			got, err := Decode([]byte(s.json), now, DefaultLimits())
			if s.reason == "" {
				if err != nil {
					t.Fatalf("rejected: %v", err)
				}
				assertEqual(t, got, s.want)
				return
			}
			var invalid *InvalidError
			if !errors.As(err, &invalid) {
				t.Fatalf("got %+v, %v; want an InvalidError with reason %s", got, err, s.reason)
			}
			if invalid.Reason != s.reason {
				t.Errorf("got reason %s (%s), want %s", invalid.Reason, invalid.Detail, s.reason)
			}
			if len(invalid.Detail) > maxDetail {
				t.Errorf("detail has %d bytes; it becomes a message header, keep it within %d: %s", len(invalid.Detail), maxDetail, invalid.Detail)
			}
		})
	}
}

// maxDetail is the size of a quoted value with every byte escaped, and a sentence.
const maxDetail = 6*maxQuoted + 128

func assertEqual(t *testing.T, got, want Event) {
	t.Helper()
	if got.ID != want.ID || got.User != want.User || got.Item != want.Item || got.Type != want.Type ||
		!got.Time.Equal(want.Time) || got.Time.Location() != time.UTC || string(got.Context) != string(want.Context) || got.RecID != want.RecID {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestFastPath(t *testing.T) {
	for _, value := range []string{
		`{"event_id": "e", "user_id": "u", "item_id": "i", "timestamp": 1772366400000}`,
		` { "timestamp" : "2026-03-01T12:00:00.5+01:00" , "type":"click","item_id":"ключ","user_id":"u","event_id":"e" } `,
		`{"event_id":"e","user_id":"u","item_id":"i","timestamp":1772366400000,"context":{"a":["}\"",{}],"b":null}}`,
	} {
		e, ok := decodeFast([]byte(value), now, DefaultLimits())
		general, invalid := decode([]byte(value), now, DefaultLimits())
		if !ok || invalid != nil || !reflect.DeepEqual(e, general) {
			t.Errorf("%s: got %+v (%t), decode returns %+v (%v)", value, e, ok, general, invalid)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	value := []byte(`{"event_id": "8c5f7c52-0b8e-4f36-9d6a-000000000001", "user_id": "user-77", "item_id": "B000142FVW", "timestamp": 1772366400000, "type": "view"}`)
	for b.Loop() {
		if _, err := Decode(value, now, DefaultLimits()); err != nil {
			b.Fatal(err)
		}
	}
}
