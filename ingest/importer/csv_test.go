package importer

import (
	"strings"
	"testing"
)

const clicks = "11,2026-03-01T12:00:00.277Z,900001,0\n11,2026-03-01T12:03:09.868Z,900002,0\n12,2026-03-01T12:56:37.614Z,900003,S\n"

// A file without column names is rejected with a hint, so that its first row is not lost, also if
// its values are mapped as columns.
func TestFilesWithoutColumnNames(t *testing.T) {
	for _, c := range []struct{ name, text, columns string }{
		{"clicks.dat", clicks, ""},
		{"clicks.csv", clicks, ""},
		{"clicks.dat", clicks, "user_id=11 timestamp=2026-03-01T12:00:00.277Z item_id=900001"},
		{"ratings.csv", "1,31,2.5,1260759144\n1,1029,3.0,1260759179\n", ""},
		{"ratings.tsv", "196\t242\t3\t881250949\n", ""},
		{"a.csv", "ann;apple;2026-03-01 12:00:00\n", ""},
		{"a.csv", "1,31,03/12/2026\n", ""},
	} {
		h := newHarness()
		h.Mapping.Columns = parsedColumns(t, c.columns)
		path := write(t, c.name, []byte(c.text))
		if _, err := Run(t.Context(), h.Config, h, []string{path}); err == nil || !strings.Contains(err.Error(), "line 1: the column names are missing") || !strings.Contains(err.Error(), "--no-header --column user_id=1") || !strings.Contains(err.Error(), path) {
			t.Errorf("%s with %q: error %v, want one with the path and --no-header", c.name, c.columns, err)
		}
	}
	for _, name := range []string{"clicks.dat", "clicks.csv", "clicks.txt.gz"} {
		h := newHarness()
		h.Mapping = Mapping{Columns: parsedColumns(t, "user_id=1 timestamp=2 item_id=3"), NoHeader: true}
		content := []byte(clicks)
		if strings.HasSuffix(name, ".gz") {
			h.Format, content = Events, gzipped(t, clicks)
		}
		if got, want := h.run(t, write(t, name, content)), (Result{Rows: 3, Appended: 3, Users: 2}); got != want || h.events["11"][0].Item != "900001" {
			t.Errorf("%s: got %+v and %+v, want %+v; rejected %+v", name, got, h.events, want, h.rejected)
		}
	}
}

// Column names that look like values are accepted where the mapping or the fields show that they
// are names.
func TestColumnNamesThatLookLikeValues(t *testing.T) {
	for _, c := range []struct{ text, columns string }{
		{"0,1,2\nann,apple,1772366400\n", "user_id=0 item_id=1 timestamp=2"}, // as pandas names columns
		{"1,2,3\nann,apple,1772366400\n", "user_id=1 item_id=2 timestamp=3"},
		{"user_id,item_id,timestamp,2026-03-01\nann,apple,1772366400,5\n", ""},
		{",user_id,item_id,timestamp\n0,ann,apple,1772366400\n", ""},
	} {
		h := newHarness()
		h.Mapping.Columns = parsedColumns(t, c.columns)
		if got := h.run(t, write(t, "a.csv", []byte(c.text))); got.Appended != 1 || len(h.events["ann"]) != 1 {
			t.Errorf("%q: got %+v and %+v", c.text, got, h.events)
		}
	}
}

// MovieLens files have a fixed order without column names.
func TestRatingsWithoutColumnNames(t *testing.T) {
	for _, text := range []string{"ann::apple::5::1772366400\n", "ann\tapple\t5\t1772366400\n"} {
		h := newHarness()
		if h.run(t, write(t, "ratings.dat", []byte(text))); len(h.events["ann"]) != 1 || h.events["ann"][0].Type != "rate" {
			t.Errorf("%q: the events are %+v", text, h.events)
		}
	}
	h := newHarness()
	if h.run(t, write(t, "a.dat", []byte("user_id\titem_id\tweight\ttimestamp\nann\tapple\t5\t1772366400\n"))); len(h.events["ann"]) != 1 {
		t.Errorf("the events are %+v", h.events)
	}
}

func TestNoHeaderErrors(t *testing.T) {
	for _, c := range []struct{ name, text, columns, want string }{
		{"a.csv", clicks, "", `no column "user_id" among 1, 2, 3, 4`},
		{"a.csv", clicks, "user_id=1 timestamp=2 item_id=9", `no column "9" for item_id among 1, 2, 3, 4`},
		{"a.jsonl", "{}", "user_id=1", "--no-header is only for text tables"},
		{"u.data", "1\t2\t3\t978300760\n", "", "cannot be combined with --column"},
		{"a.inter", "user_id:token\titem_id:token\ttimestamp:float\n", "", "cannot be combined with --column"},
	} {
		h := newHarness()
		h.Mapping = Mapping{Columns: parsedColumns(t, c.columns), NoHeader: true}
		if _, err := Run(t.Context(), h.Config, h, []string{write(t, c.name, []byte(c.text))}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with %q: error %v, want %q", c.name, c.columns, err, c.want)
		}
	}
}

// Blanks around values are ignored in every format; in quotes they are part of an id.
func TestBlanksAroundValues(t *testing.T) {
	for name, text := range map[string]string{
		"a.csv":     " user_id , item_id , timestamp , type \n ann , apple , 2026-03-01 12:00:00 , click \n",
		"b.csv":     "user_id;item_id;timestamp;type\nann ;\tapple\u00a0; \"2026-03-01 12:00:00 \" ;\" click \"\n",
		"a.tsv":     "user_id\titem_id \ttimestamp\ttype\n ann\tapple \t 2026-03-01 12:00:00 \tclick \r\n",
		"a.jsonl":   `{"user_id": "ann", "item_id": "apple", "timestamp": " 2026-03-01 12:00:00 ", "type": " click "}`,
		"a.inter":   "user_id:token\titem_id:token\ttimestamp:float\nann \t apple\t 1772366400 \n",
		"a.dat":     "user_id,item_id,timestamp\nann ,apple , 1772366400 \n",
		"movie.dat": "ann :: apple::5 :: 1772366400 \n",
	} {
		h := newHarness()
		if name == "movie.dat" {
			h.Format = MovieLens
		}
		h.run(t, write(t, name, []byte(text)))
		if e := h.events["ann"]; len(e) != 1 || e[0].Item != "apple" || !e[0].Time.Equal(noon) {
			t.Errorf("%s: the events are %+v", name, h.events)
		}
	}
	h := newHarness()
	h.run(t, write(t, "a.csv", []byte("user_id,item_id,timestamp\n\" ann \",apple,1772366400\n")))
	if len(h.events[" ann "]) != 1 {
		t.Errorf("the events of a quoted id are %+v", h.events)
	}
}

// An import fails if all rows are rejected.
func TestAllRowsRejected(t *testing.T) {
	good := "u,i,1772366400\n"
	for _, c := range []struct {
		rows   string
		failed bool
	}{{"u,i,noon\nu,,1772366400\n", true}, {"u,i,noon\n", true}, {"u,i,noon\n" + good, false}, {"", false}, {good, false}} {
		h := newHarness()
		path := write(t, "a.csv", []byte("user_id,item_id,timestamp\n"+c.rows))
		_, err := Run(t.Context(), h.Config, h, []string{path})
		if (err != nil) != c.failed || err != nil && (!strings.Contains(err.Error(), "rows are rejected") || !strings.Contains(err.Error(), path)) {
			t.Errorf("%q: error %v, want one: %v", c.rows, err, c.failed)
		}
	}
}

func TestCarriageReturnLines(t *testing.T) {
	h := newHarness()
	if _, err := Run(t.Context(), h.Config, h, []string{write(t, "a.csv", []byte("user_id,item_id,timestamp\rann,apple,1772366400\r"))}); err == nil || !strings.Contains(err.Error(), "carriage return only") {
		t.Errorf("got error %v", err)
	}
}
