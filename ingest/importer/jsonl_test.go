package importer

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const sessionsText = `{"session": 42, "events": [{"aid": 7, "ts": 1661200010000, "type": "clicks"}, {"aid": 8, "ts": 1661200020000, "type": "carts"}]}
{"session": 43, "events": []}
{"session": 44, "events": [{"aid": 9, "ts": 1661200010000, "type": "clicks"}, {"ts": 1661200020000, "type": "clicks"}, {"aid": 9, "ts": "later", "type": "clicks"}, 5]}
`

func parsedColumns(t *testing.T, pairs string) Columns {
	t.Helper()
	columns, err := ParseColumns(strings.Fields(pairs))
	if err != nil {
		t.Fatal(err)
	}
	return columns
}

// An array of events in a line becomes an event for each element; errors name the element.
func TestJSONArrays(t *testing.T) {
	h := newHarness()
	h.Mapping.Columns = parsedColumns(t, "user_id=session item_id=events.aid timestamp=events.ts type=events.type")
	h.Mapping.Types = Types{"clicks": "click", "carts": "add_to_cart"}
	if got, want := h.run(t, write(t, "a.jsonl", []byte(sessionsText))), (Result{Rows: 6, Appended: 3, Rejected: 3, Users: 2}); got != want {
		t.Fatalf("got %+v, want %+v; rejected %+v", got, want, h.rejected)
	}
	if e := h.events["42"]; len(e) != 2 || e[0].Item != "7" || e[0].Type != "click" || e[1].Item != "8" || e[1].Type != "add_to_cart" || e[1].Time.UnixMilli() != 1_661_200_020_000 {
		t.Errorf("the events of 42 are %+v", e)
	}
	var got []string
	for _, r := range h.rejected {
		got = append(got, fmt.Sprintf("%d %s %.33s", r.Line, r.Reason, r.Detail))
	}
	want := []string{"3 missing_field events[1]: item_id", `3 bad_timestamp events[2]: "later" is not a time `, "3 bad_row events[3]: events.aid: 5 is not a"}
	if !slices.Equal(got, want) {
		t.Errorf("rejected\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestJSONPaths(t *testing.T) {
	for _, c := range []struct {
		name, columns, text string
		want                string // users and items
	}{
		{"objects in objects", "user_id=user.id item_id=what.item.sku timestamp=at", `{"user": {"id": "ann"}, "what": {"item": {"sku": 7}}, "at": 1661200010}`, "ann:7"},
		{"an array below an object", "user_id=u item_id=data.list.i timestamp=data.list.t", `{"u": "ann", "data": {"list": [{"i": 1, "t": 1661200010}, {"i": 2, "t": 1661200011}]}}`, "ann:1 ann:2"},
		{"an array of ids", "user_id=u item_id=items timestamp=t", `{"u": "ann", "items": ["a", "b"], "t": 1661200010}`, "ann:a ann:b"},
		{"a name with a dot", "user_id=user.id item_id=i timestamp=t", `{"user.id": "ann", "i": "a", "t": 1661200010}`, "ann:a"},
		{"objects below elements", "user_id=u item_id=l.product.id timestamp=l.t", `{"u": "ann", "l": [{"product": {"id": "a"}, "t": 1661200010}]}`, "ann:a"},
		{"a path that some lines lack", "user_id=u item_id=i timestamp=t type=info.type", `{"u": "ann", "i": "a", "t": 1661200010}`, "ann:a"},
		{"numbers as ids", "", `{"user_id": 42.0, "item_id": 4.2e1, "timestamp": 1661200010}`, "42:42"},
		{"numbers of many digits as ids", "", `{"user_id": 12345678901234567890, "item_id": 7, "timestamp": 1661200010}`, "12345678901234567890:7"},
	} {
		h := newHarness()
		h.Mapping.Columns = parsedColumns(t, c.columns)
		h.run(t, write(t, "a.jsonl", []byte(c.text)))
		var got []string
		for user, events := range h.events {
			for _, e := range events {
				got = append(got, user+":"+e.Item)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: got %q, want %s; rejected %+v", c.name, got, c.want, h.rejected)
		}
	}
}

func TestJSONErrors(t *testing.T) {
	for _, c := range []struct{ text, columns, want string }{
		{sessionsText, "", `no column "user_id" among events.aid, events.ts, events.type, session: map another one with --column user_id=COLUMN`},
		{`{"visitor": "ann", "item_id": "a", "timestamp": 1661200010}`, "", `no column "user_id" among item_id, timestamp, visitor: map another one with --column user_id=COLUMN`},
		{`{"user": {"id": 1}, "item": {"id": 2}, "timestamp": 1661200010}`, "", `no column "user_id" among item.id, timestamp, user.id: map`},
		{sessionsText, "user_id=session item_id=events.sku timestamp=events.ts", "bad_row (events[3]: events.sku: 5 is not an object)"},
		{sessionsText, "user_id=session item_id=event.aid timestamp=events.ts", `line 1: there is no column "event.aid" for item_id among events.aid, events.ts`},
		{`{"u": 1, "a": [1, 2], "t": [1661200010, 1661200011]}`, "user_id=u item_id=a timestamp=t", "a and t are two arrays"},
		{`{"u": 1, "l": [{"m": [{"i": 1}]}], "t": 1661200010}`, "user_id=u item_id=l.m.i timestamp=t", "m is an array inside of the array l"},
		{`{"u": 1, "i": "a", "t": 1661200010}`, "user_id=u item_id=i.sku timestamp=t", `i.sku for item_id: i is "a", want an object or an array`},
		{`{"user_id": 1.5, "item_id": "a", "timestamp": 1661200010}`, "", "1.5 is not an integer, want a string"},
		{`{"user_id": true, "item_id": "a", "timestamp": 1661200010}`, "", "true is neither a string nor a number"},
	} {
		h := newHarness()
		h.Mapping.Columns = parsedColumns(t, c.columns)
		path := write(t, "a.jsonl", []byte(c.text))
		if _, err := Run(t.Context(), h.Config, h, []string{path}); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "event_id") {
			t.Errorf("%s with %q: error %v, want one with the path and %q", c.text, c.columns, err, c.want)
		}
	}
}

// An import that was stopped within a line imports that line again.
func TestResumeWithinALine(t *testing.T) {
	var line strings.Builder
	const events = 3*batchRows + 10
	line.WriteString(`{"u": "ann", "l": [`)
	for i := range events {
		fmt.Fprintf(&line, `{"i": "i%d", "t": %d},`, i, 1_661_200_010_000+i)
	}
	path, resume := write(t, "a.jsonl", []byte(strings.TrimSuffix(line.String(), ",")+"]}\n")), filepath.Join(t.TempDir(), "resume")
	open := func() *harness {
		h := newHarness()
		h.Mapping.Columns = parsedColumns(t, "user_id=u item_id=l.i timestamp=l.t")
		var err error
		if h.Resume, err = OpenResumeFile(resume); err != nil {
			t.Fatal(err)
		}
		return h
	}
	h := open()
	f, err := openFile(path, fileOptions{Mapping: h.Mapping, limits: h.Limits})
	if err != nil {
		t.Fatal(err)
	}
	b := &batch{}
	for range batchRows {
		next, err := f.next()
		if err != nil {
			t.Fatal(err)
		}
		b.add(next, path, 0, f.options)
	}
	if err := f.Close(); err != nil || b.last != 0 {
		t.Errorf("with a part of line 1, lines up to %d are done (error %v), want 0", b.last, err)
	}
	if got := h.run(t, path); got.Rows != events || got.Appended != events {
		t.Errorf("got %+v, want %d rows", got, events)
	}
	if got := open().run(t, path); got.Skipped != events {
		t.Errorf("got %+v, want %d rows skipped", got, events)
	}
}

// Complete events are accepted among other objects.
func TestEventsAmongJSONObjects(t *testing.T) {
	h := newHarness()
	path := write(t, "a.jsonl", []byte(strings.Join([]string{
		`{"event_id": "e1", "user_id": "ann", "item_id": "a", "timestamp": 1661200010000}`,
		`{"user_id": "ann", "item_id": "b", "timestamp": 1661200010000}`,
		`{"event_id": "e3", "user_id": 7, "item_id": "c", "timestamp": 1661200010}`,
	}, "\n")))
	if got, want := h.run(t, path), (Result{Rows: 3, Appended: 3, Users: 2}); got != want {
		t.Errorf("got %+v, want %+v; rejected %+v", got, want, h.rejected)
	}
}
