package importer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"

	"genrec/pkg/event"
	"genrec/sessions"
)

// memory is a Sessions in memory.
type memory struct {
	events map[string][]event.Event
	calls  int
	fail   error
}

func (m *memory) Append(_ context.Context, batch []sessions.UserEvents) (appended []sessions.Appended, err error) {
	m.calls++
	if m.fail != nil {
		return nil, m.fail
	}
	for _, b := range batch {
		a := sessions.Appended{User: b.User}
		for _, e := range b.Events {
			if !slices.ContainsFunc(m.events[b.User], func(known event.Event) bool { return known.ID == e.ID }) {
				m.events[b.User] = append(m.events[b.User], e)
				a.Added++
			}
		}
		appended = append(appended, a)
	}
	return appended, nil
}

type noProgress struct{}

func (noProgress) Start(string, int, int) {}
func (noProgress) Step(float64)           {}
func (noProgress) Finish()                {}

type harness struct {
	*memory
	Config
	rejected  []RejectedRow
	refreshed []string
}

func newHarness() *harness {
	h := &harness{memory: &memory{events: make(map[string][]event.Event)}}
	h.Config = Config{
		Limits: event.DefaultLimits(), Progress: noProgress{}, Logger: slog.New(slog.DiscardHandler),
		Reject: func(_ context.Context, rows []RejectedRow) error {
			h.rejected = append(h.rejected, rows...)
			return nil
		},
		Refresh: func(_ context.Context, next func() (string, error)) error {
			for {
				user, err := next()
				if errors.Is(err, io.EOF) {
					return nil
				}
				if err != nil {
					return err
				}
				h.refreshed = append(h.refreshed, user)
			}
		},
	}
	return h
}

func (h *harness) run(t *testing.T, files ...string) Result {
	t.Helper()
	result, err := Run(t.Context(), h.Config, h, files)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func write(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	csvText = "user_id,event_id,price,item_id,timestamp,type,context\r\n" +
		"ann,e1,9,apple,2026-03-01T12:00:00Z,,\r\n" +
		"\"a,\n\"\"b\",e2,9,\"be,er\",1772366400001,click,\"{\"\"a\"\": 1}\"\r\n" +
		"ann,e3,9,carrot,1772366400002,view,\r\n"
	jsonText = `{"user_id": "ann", "event_id": "e1", "item_id": "apple", "timestamp": "2026-03-01T12:00:00Z"}

{"user_id": "bob", "event_id": "e2", "item_id": "be,er", "timestamp": 1772366400001, "type": "click", "context": {"a": 1}}
{"user_id": "ann", "event_id": "e3", "item_id": "carrot", "timestamp": 1772366400002}`
)

type parquetRow struct {
	User    string    `parquet:"user_id,dict"`
	Event   string    `parquet:"event_id"`
	Item    string    `parquet:"item_id,zstd"`
	Time    time.Time `parquet:"timestamp,timestamp(microsecond)"`
	Type    *string   `parquet:"type"`
	Context string    `parquet:"context"`
	Price   float64   `parquet:"price"`
	Tags    []string  `parquet:"tags,list"`
}

func parquetFile(t testing.TB) []byte {
	t.Helper()
	click := "click"
	at := time.UnixMilli(1_772_366_400_000)
	var out bytes.Buffer
	err := parquet.Write(&out, []parquetRow{
		{User: "ann", Event: "e1", Item: "apple", Time: at, Tags: []string{"a", "b"}},
		{User: "bob", Event: "e2", Item: "be,er", Time: at.Add(time.Millisecond), Type: &click, Context: `{"a": 1}`},
		{User: "ann", Event: "e3", Item: "carrot", Time: at.Add(2 * time.Millisecond)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func gzipped(t testing.TB, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := io.WriteString(w, text); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstandard(t testing.TB, text string) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll([]byte(text), nil)
}

func TestFormats(t *testing.T) {
	bobCSV := strings.Replace(csvText, "\"a,\n\"\"b\"", "bob", 1)
	for name, content := range map[string][]byte{
		"events.csv": []byte(bobCSV), "marked.csv": []byte("\ufeff" + bobCSV), "events.csv.gz": gzipped(t, bobCSV), "events.csv.zst": zstandard(t, bobCSV),
		"events.jsonl": []byte(jsonText), "EVENTS.NDJSON": []byte(jsonText), "events.jsonl.gz": gzipped(t, jsonText), "events.jsonl.zst": zstandard(t, jsonText),
		"events.parquet": parquetFile(t),
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness()
			path := write(t, name, content)
			if got, want := h.run(t, path), (Result{Rows: 3, Appended: 3, Users: 2}); got != want {
				t.Errorf("got %+v, want %+v; rejected %+v", got, want, h.rejected)
			}
			ann, bob := h.events["ann"], h.events["bob"]
			if len(ann) != 2 || ann[0].Item != "apple" || ann[1].Item != "carrot" || ann[0].Time.UnixMilli() != 1_772_366_400_000 {
				t.Errorf("the events of ann are %+v", ann)
			}
			if len(bob) != 1 || bob[0].Item != "be,er" || bob[0].Type != "click" || string(bob[0].Context) != `{"a": 1}` || bob[0].Time.UnixMilli() != 1_772_366_400_001 {
				t.Errorf("the events of bob are %+v", bob)
			}
			if fmt.Sprint(h.refreshed) != "[ann bob]" {
				t.Errorf("refreshed %v, want each user once", h.refreshed)
			}
			if got, want := h.run(t, path), (Result{Rows: 3, Duplicates: 3, Users: 2}); got != want {
				t.Errorf("the second time: got %+v, want %+v", got, want)
			}
		})
	}
}

func TestRejectedRowsHaveLines(t *testing.T) {
	h := newHarness()
	lines := write(t, "bad.jsonl", []byte(jsonText+"\n{\n"+strings.Repeat("x", 2*maxRow)+"\n"+`{"event_id": "e9", "user_id": "cid", "item_id": "i", "timestamp": 1772366400000}`))
	table := write(t, "bad.csv", []byte(csvText+"short,row\nann,e5,1,x\"y,1772366400000,,\nann,e6,1,i,noon,,\nann,e7,1,\xff,1772366400000,,\ndee,e8,1,i,1772366400000,,\n"))
	result := h.run(t, lines, table)
	if result.Rows != 14 || result.Rejected != 7 || len(h.events["cid"]) != 1 || len(h.events["dee"]) != 1 {
		t.Errorf("got %+v and users %v: rows after a malformed one must be imported", result, h.refreshed)
	}
	var got []string
	for _, r := range h.rejected {
		got = append(got, fmt.Sprintf("%s:%d %s", filepath.Base(r.File), r.Line, r.Reason))
	}
	want := []string{
		"bad.jsonl:5 not_json", "bad.jsonl:6 bad_row", "bad.csv:3 bad_id", "bad.csv:6 bad_row", "bad.csv:7 bad_row",
		"bad.csv:8 bad_timestamp", "bad.csv:9 bad_id",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestErrorsNameTheFile(t *testing.T) {
	for _, c := range []struct{ name, content, want string }{
		{"a.txt", "", "none of .csv"},
		{"a.parquet.gz", string(gzipped(t, "PAR1")), "unpack it first"},
		{"empty.csv", "", "line 1: the column names are missing"},
		{"a.csv", "event_id,user_id,item_id\n", `line 1: there is no column "timestamp"`},
		{"a.csv", "event_id,user_id,item_id,timestamp,user_id\n", `line 1: there are two columns "user_id"`},
		{"cut.jsonl.gz", string(gzipped(t, jsonText)[:40]), "line"},
		{"a.csv.gz", "no gzip, but long enough", "gzip: invalid header"},
		{"a.parquet", "no parquet", "not a Parquet file"},
		{"all-bad.jsonl", strings.Repeat("{}\n", 3000), "all of the first"},
	} {
		path := write(t, c.name, []byte(c.content))
		h := newHarness()
		_, err := Run(t.Context(), h.Config, h, []string{path})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v, want one with the path and %q", c.name, err, c.want)
		}
	}
}

func TestResume(t *testing.T) {
	var text strings.Builder
	const rows = 4*batchRows + 7
	for i := range rows {
		fmt.Fprintf(&text, `{"event_id": "e%d", "user_id": "u%d", "item_id": "i", "timestamp": 1772366400000}`+"\n", i, i%10)
	}
	path, resume := write(t, "events.jsonl", []byte(text.String())), filepath.Join(t.TempDir(), "resume")
	open := func() *harness {
		h := newHarness()
		var err error
		if h.Resume, err = OpenResumeFile(resume); err != nil {
			t.Fatal(err)
		}
		return h
	}
	first := open()
	if err := first.Resume.set(path, int64(text.Len()), 2*batchRows+1, false); err != nil {
		t.Fatal(err)
	}
	second := open()
	const skipped = 2*batchRows + 1
	if got, want := second.run(t, path), (Result{Rows: rows, Skipped: skipped, Appended: rows - skipped, Users: 10}); got != want {
		t.Errorf("got %+v, want %+v: users of skipped rows have not been refreshed", got, want)
	}
	third := open()
	if got, want := third.run(t, path), (Result{Rows: rows, Skipped: rows, Users: 10}); got != want || third.calls > 0 {
		t.Errorf("got %+v, want %+v", got, want)
	}
	grown := write(t, "events.jsonl", []byte(text.String()+"\n"))
	if done := open().Resume.row(grown, int64(text.Len()+1), false); done != 0 {
		t.Errorf("a file of another size is done up to row %d", done)
	}
}

func TestImportStopsDuringOutage(t *testing.T) {
	h := newHarness()
	h.fail = errors.New("down")
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := Run(ctx, h.Config, h, []string{write(t, "a.jsonl", []byte(jsonText))}); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want context.Canceled", err)
	}
}

// unreadable is a Sessions in which the sequences of some users are unreadable.
type unreadable struct {
	Sessions
	users []string
}

func (u unreadable) Append(ctx context.Context, batch []sessions.UserEvents) ([]sessions.Appended, error) {
	var failed sessions.UserErrors
	batch = slices.DeleteFunc(slices.Clone(batch), func(b sessions.UserEvents) bool {
		bad := slices.Contains(u.users, b.User)
		if bad {
			failed = append(failed, &sessions.UserError{User: b.User, Err: errors.New("corrupt")})
		}
		return bad
	})
	appended, err := u.Sessions.Append(ctx, batch)
	if err == nil && len(failed) > 0 {
		err = failed
	}
	return appended, err
}

// Rows of users with an unreadable sequence are rejected, and all others imported.
func TestUnreadableSequencesAreRejected(t *testing.T) {
	h := newHarness()
	path := write(t, "events.csv", []byte("user_id,item_id,timestamp\n"+
		"ann,hat,2026-01-01T00:00:01Z\n"+
		"bob,hat,2026-01-01T00:00:02Z\n"+
		"ann,coat,2026-01-01T00:00:03Z\n"+
		"cid,hat,2026-01-01T00:00:04Z\n"))
	archive := h.withHistory(t, t.TempDir(), nil)
	result, err := Run(t.Context(), h.Config, unreadable{h.memory, []string{"ann"}}, []string{path})
	if err != nil || result.Rows != 4 || result.Appended != 2 || result.Duplicates != 0 || result.Rejected != 2 || result.HistoryEvents != 2 || result.Users != 2 {
		t.Fatalf("got %+v, error %v; want 2 of 4 rows appended, in the history and refreshed, and 2 rejected", result, err)
	}
	for i, line := range []int64{2, 4} {
		if r := h.rejected[i]; r.Line != line || r.Reason != ReasonBadSequence || r.File != path || len(r.Value) == 0 || r.Detail != `user "ann": corrupt` {
			t.Errorf("rejected %+v, want line %d of ann", r, line)
		}
	}
	if len(h.events["bob"]) != 1 || len(h.events["cid"]) != 1 || len(h.events["ann"]) != 0 || slices.Contains(h.refreshed, "ann") {
		t.Errorf("the sequences are %v and %q refreshed, want bob and cid", h.events, h.refreshed)
	}
	if _, users := inHistory(t, archive); len(users) != 2 || users["ann"] != 0 {
		t.Errorf("the history has events of %v, want bob and cid", users)
	}
}
