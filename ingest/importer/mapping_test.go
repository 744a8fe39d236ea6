package importer

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
)

// Files as shops, databases and spreadsheets write them; all contain that ann clicked on an apple
// at noon.
func TestRealWorldFiles(t *testing.T) {
	const noon = "1772366400"
	renamed := []string{"user_id=customer", "item_id=sku", "timestamp=at", "type=what"}
	for _, c := range []struct {
		name, file, content string
		columns             []string
	}{
		{"ids of events left out", "a.csv", "user_id,item_id,timestamp,type\nann,apple,2026-03-01T12:00:00Z,click\n", nil},
		{"names in another case", "a.csv", "UserID,Item Id,TIMESTAMP,Type\nann,apple," + noon + "000,click\n", nil},
		{"a spreadsheet's mark and line ends", "a.csv", "\ufeffuser_id,item_id,timestamp,type\r\nann,apple," + noon + "000,click\r\n", nil},
		{"semicolons and quotes", "a.csv", "\"user_id\";\"item_id\";\"timestamp\";\"type\"\n\"ann\";\"apple\";\"2026-03-01 12:00:00\";\"click\"\n", nil},
		{"a separator declared for Excel", "a.csv", "\ufeffsep=;\r\nuser_id;item_id;a,b,c,d;timestamp;type\r\nann;apple;x;" + noon + ";click\r\n", nil},
		{"tabs and empty fields", "a.tsv", "price\tuser_id\titem_id\ttimestamp\ttype\n\tann\tapple\t" + noon + "000\tclick\n", nil},
		{"blanks after commas", "a.csv", "user_id, item_id, timestamp, type\nann, apple, \"" + noon + "000\", click\n", nil},
		{"other names", "a.csv", "at,customer,sku,what,item_id\n" + noon + ",ann,apple,click,7\n", renamed},
		{"other names in an atomic file", "a.inter", "customer:token\tsku:token\tat:float\n", renamed[:3]},
		{"seconds with a fraction", "a.csv", "user_id,item_id,timestamp,type\nann,apple," + noon + ".0,click\n", nil},
		{"microseconds", "a.csv", "user_id,item_id,timestamp,type\nann,apple," + noon + "000000,click\n", nil},
		{"nanoseconds", "a.csv", "user_id,item_id,timestamp,type\nann,apple," + noon + "000000000,click\n", nil},
		{"BigQuery's times", "a.csv", "user_id,item_id,timestamp,type\nann,apple,2026-03-01 12:00:00.000 UTC,click\n", nil},
		{"PostgreSQL's times", "a.csv", "user_id,item_id,timestamp,type\nann,apple,2026-03-01 13:00:00.000000+01,click\n", nil},
		{"a type in another word", "a.csv", "user_id,item_id,timestamp,type\nann,apple," + noon + ",opened\n", nil},
		{"JSON with a type in another word", "a.jsonl", `{"event_id": "e", "user_id": "ann", "item_id": "apple", "timestamp": ` + noon + `000, "type": "opened"}`, nil},
		{"JSON with a mark", "a.jsonl", "\ufeff" + `{"event_id": "e", "user_id": "ann", "item_id": "apple", "timestamp": ` + noon + `000, "type": "click"}`, nil},
		{"JSON in other words", "a.jsonl", `{"userId": "ann", "itemId": "apple", "timestamp": "2026-03-01 12:00:00", "type": "click", "tags": [1]}`, nil},
		{"JSON with other names", "a.json", `{"customer": "ann", "sku": "apple", "at": ` + noon + `, "what": "click"}`, renamed},
	} {
		h := newHarness()
		var err error
		if h.Mapping.Columns, err = ParseColumns(c.columns); err != nil {
			t.Fatal(err)
		}
		kind := "click"
		if strings.HasSuffix(c.file, ".inter") {
			c.content += "ann\tapple\t" + noon + "\n"
			kind = "view"
		}
		h.Mapping.Types = Types{"opened": "click"}
		if strings.HasSuffix(c.file, ".inter") {
			h.Mapping.Types = nil
		}
		path := write(t, c.file, []byte(c.content))
		if got, want := h.run(t, path), (Result{Rows: 1, Appended: 1, Users: 1}); got != want {
			t.Errorf("%s: got %+v, want %+v; rejected %+v", c.name, got, want, h.rejected)
			continue
		}
		if e := h.events["ann"][0]; e.Item != "apple" || e.Type != kind || e.Time.Format(time.RFC3339) != "2026-03-01T12:00:00Z" {
			t.Errorf("%s: the event is %+v", c.name, e)
		}
		if got, want := h.run(t, path), (Result{Rows: 1, Duplicates: 1, Users: 1}); got != want {
			t.Errorf("%s, the second time: got %+v, want %+v", c.name, got, want)
		}
	}
}

// Errors name what the file contains, and what to do.
func TestMappingErrors(t *testing.T) {
	for _, c := range []struct{ name, content, columns, want string }{
		{"a.csv", "visitorid,itemid,timestamp\n", "", `no column "user_id" among visitorid, itemid, timestamp: map another one with --column user_id=COLUMN`},
		{"a.csv", "user_id,userId,item_id,timestamp\n", "", `two columns "user_id": choose one with --column user_id=COLUMN`},
		{"a.csv", "user_id,item_id,timestamp\n", "type=action", `no column "action" for type among user_id, item_id, timestamp`},
		{"a.jsonl", `{"who": "ann"}`, "user_id=who", `no column "item_id" among who`},
		{"a.json", `[{"user_id": "ann"}]`, "", "write one object in each line"},
		{"a.csv", "\xff\xfeu\x00", "", "save it as UTF-8"},
		{"a.csv", "u\x00s\x00e\x00r\x00\n\x00", "", "UTF-16 without a byte order mark"},
		{"a.jsonl", "\x00{\x00\"\x00u", "", "UTF-16 without a byte order mark"},
		{"ratings.dat", "1::2::3::978300760\n", "user_id=who", "cannot be combined with --column, --event-type and --no-header"},
	} {
		h := newHarness()
		if c.columns != "" {
			h.Mapping.Columns, _ = ParseColumns([]string{c.columns})
		}
		path := write(t, c.name, []byte(c.content))
		if _, err := Run(t.Context(), h.Config, h, []string{path}); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%q with %q: error %v, want one with the path and %q", c.content, c.columns, err, c.want)
		}
	}
	for _, c := range []struct{ pairs, want string }{
		{"user_id", "is not FIELD=COLUMN"},
		{"user=who", `"user" is none of user_id`},
		{"user_id=who item_id=who", "cannot be both user_id and item_id"},
		{"user_id=who user_id=customer", "two columns for user_id"},
	} {
		if _, err := ParseColumns(strings.Fields(c.pairs)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: error %v, want one with %q", c.pairs, err, c.want)
		}
	}
}

func TestParseTypes(t *testing.T) {
	if types, err := ParseTypes([]string{"add_to_cart=cart", "add_to_cart=addtocart"}); err != nil || types["cart"] != "add_to_cart" || types["addtocart"] != "add_to_cart" {
		t.Errorf("got %v, error %v", types, err)
	}
	for _, c := range []struct{ pairs, want string }{
		{"view", "is not TYPE=WORD"},
		{"stare=look", `"stare" is none of view`},
		{"view=look click=look", "cannot be both view and click"},
	} {
		if _, err := ParseTypes(strings.Fields(c.pairs)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: error %v, want one with %q", c.pairs, err, c.want)
		}
	}
}

// An object that differs from the first one is rejected alone.
func TestJSONObjectsThatDiffer(t *testing.T) {
	h := newHarness()
	path := write(t, "a.jsonl", []byte(strings.Join([]string{
		`{"user_id": 1, "item_id": 2, "timestamp": 1772366400}`,
		`{"user_id": [1], "item_id": 2, "timestamp": 1772366400}`,
		`{"user_id": 1, "timestamp": 1772366400}`,
		`broken`,
		`{"user_id": 1, "item_id": null, "timestamp": 1772366400}`,
		`{"user_id": 1, "item_id": 3, "timestamp": 1772366400, "context": {"a": 1}}`,
	}, "\n")))
	if got, want := h.run(t, path), (Result{Rows: 6, Appended: 2, Rejected: 4, Users: 1}); got != want {
		t.Fatalf("got %+v, want %+v; rejected %+v", got, want, h.rejected)
	}
	var reasons []string
	for _, r := range h.rejected {
		reasons = append(reasons, r.Reason)
	}
	if want := []string{ReasonBadRow, "missing_field", "not_json", "missing_field"}; !slices.Equal(reasons, want) {
		t.Errorf("rejected because of %v, want %v", reasons, want)
	}
	if e := h.events["1"][1]; e.Item != "3" || string(e.Context) != `{"a": 1}` {
		t.Errorf("the last event is %+v", e)
	}
}

// Parquet as pandas and Spark write it: numeric ids, and times as days, nanoseconds and INT96.
func TestRealWorldParquet(t *testing.T) {
	type days struct {
		User int64 `parquet:"userId"`
		Item int32 `parquet:"item_id"`
		Time int32 `parquet:"timestamp,date"`
	}
	type nanos struct {
		User int64     `parquet:"user_id,optional"`
		Item string    `parquet:"item_id"`
		Time time.Time `parquet:"timestamp,timestamp(nanosecond)"`
	}
	type spark struct {
		User string           `parquet:"user_id"`
		Item string           `parquet:"item_id"`
		Time deprecated.Int96 `parquet:"timestamp"`
	}
	ofDay := uint64(12 * time.Hour)
	for name, c := range map[string]struct {
		write func(io.Writer) error
		want  time.Time
	}{
		"days":        {func(w io.Writer) error { return parquet.Write(w, []days{{7, 8, 20_513}}) }, noon.Truncate(24 * time.Hour)},
		"nanoseconds": {func(w io.Writer) error { return parquet.Write(w, []nanos{{7, "8", noon}}) }, noon},
		"INT96": {func(w io.Writer) error {
			return parquet.Write(w, []spark{{"7", "8", deprecated.Int96{uint32(ofDay & 0xffffffff), uint32(ofDay >> 32), 2_440_588 + 20_513}}})
		}, noon},
	} {
		var file bytes.Buffer
		if err := c.write(&file); err != nil {
			t.Fatal(err)
		}
		h := newHarness()
		if got, want := h.run(t, write(t, "a.parquet", file.Bytes())), (Result{Rows: 1, Appended: 1, Users: 1}); got != want {
			t.Errorf("%s: got %+v, want %+v; rejected %+v", name, got, want, h.rejected)
			continue
		}
		if e := h.events["7"][0]; e.Item != "8" || !e.Time.Equal(c.want) {
			t.Errorf("%s: the event is %+v, want 8 at %v", name, e, c.want)
		}
	}
}

func FuzzJSONReader(f *testing.F) {
	f.Add([]byte(`{"userId": 7, "itemId": "8", "timestamp": "2026-03-01 12:00:00", "context": {}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := &jsonReader{lines: newLineReader(bytes.NewReader(data)), options: anyOptions}
		readAll(t, r)
		r.lines, r.pending = newLineReader(bytes.NewReader(data)), nil
		if next, err := r.next(); err == nil && next.err == nil && json.Valid(data) && !json.Valid(next.value) {
			t.Fatalf("%q comes to %q", data, next.value)
		}
	})
}
