package serve

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"genrec/pkg/event"
)

// An accepted query is valid and survives encoding and parsing.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{"", "n=5&exclude=a&exclude=b&exclude_seen=true&category=c&diversity=2", "n=0", "n=1&n=2", "exclude=%zz", "a=b", "exclude_seen=t", "n=%31"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := parseQuery(raw)
		if err != nil {
			if len(err.Error()) > 1000 {
				t.Errorf("the error repeats %d bytes of the input", len(err.Error()))
			}
			return
		}
		if err := q.Validate(); err != nil {
			t.Errorf("%q was accepted: %v", raw, err)
		}
		values, _ := url.ParseQuery(raw)
		again, err := parseQuery(values.Encode())
		if err != nil || again.N != q.N || again.ExcludeSeen != q.ExcludeSeen || strings.Join(again.Exclude, "\n") != strings.Join(q.Exclude, "\n") {
			t.Errorf("%q was parsed as %+v, and its encoding as %+v (error %v)", raw, q, again, err)
		}
	})
}

func FuzzBatch(f *testing.F) {
	for _, seed := range []string{`{"user_ids":["ann","bob"],"n":3,"exclude":["a"],"exclude_seen":true,"category":["c"],"diversity":1}`, `{}`, `[]`, `{"user_ids":["ann"]} 1`, `{"user_ids":["}"]}`, `{"user_ids":[null]}`, `null`, `{"user_ids":["ann"],"n":null,"exclude_seen":null,"exclude":null}`, `{"user_ids":["ann"],"n":1e1,"diversity":2.0}`, `{"USER_IDS":["ann"]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		users, q, err := parseBatch(body)
		if err != nil {
			return
		}
		if err := q.Validate(); err != nil || len(users) == 0 || len(users) > maxUsers {
			t.Errorf("%q was accepted for %d users: %v", body, len(users), err)
		}
		for _, id := range users {
			if err := event.CheckID("user_ids", id); err != nil {
				t.Errorf("%q was accepted: %v", body, err)
			}
		}
	})
}

// An accepted event is valid for the consumers of the stream.
func FuzzEvents(f *testing.F) {
	one := `{"event_id":"1","user_id":"ann","item_id":"i","timestamp":1750000000000}`
	for _, seed := range []string{one, "[" + one + "]", " [" + one + " , " + one + "]\n", "[" + one + ",{}]", "[]", "[[]]", "null", one + one} {
		f.Add([]byte(seed))
	}
	now := time.UnixMilli(1_750_000_000_000)
	f.Fuzz(func(t *testing.T, body []byte) {
		events, err := parseEvents(body, now)
		if err != nil {
			return
		}
		if len(events) == 0 || len(events) > maxEvents {
			t.Errorf("%d events were accepted", len(events))
		}
		for _, e := range events {
			read, err := event.Decode(e.JSON, now, event.DefaultLimits())
			if err != nil || read.User != e.User || !json.Valid(e.JSON) {
				t.Errorf("%q was accepted for user %q, but is decoded as %+v, error %v", e.JSON, e.User, read, err)
			}
		}
	})
}
