package importer

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"genrec/pkg/event"
)

// anyOptions are for files of any format, without a mapping.
var anyOptions = fileOptions{format: Auto, limits: event.DefaultLimits()}

// datasetFiles contain the same events of ann and bob in all formats, and two invalid rows each.
var datasetFiles = map[string]struct {
	format   Format
	reason   string // of the last row
	reason3  string // of the one before
	ann, bob [2]string
}{
	"small.inter":        {RecBole, ReasonBadRow, "bad_timestamp", plainAnn, plainBob},
	"ratings.dat":        {MovieLens, ReasonBadRow, "bad_timestamp", plainAnn, plainBob},
	"u.data":             {MovieLens, ReasonBadRow, "bad_timestamp", plainAnn, plainBob},
	"ratings.csv":        {MovieLens, ReasonBadRow, "bad_timestamp", plainAnn, plainBob},
	"reviews_2018.json":  {Amazon, "not_json", "missing_field", amazonAnn, amazonBob},
	"reviews_2023.jsonl": {Amazon, ReasonBadRow, "missing_field", amazonAnn, amazonBob},
	"ratings_2014.csv":   {Amazon, ReasonBadRow, "bad_timestamp", amazonAnn, amazonBob},
	"ratings_2018.csv":   {Amazon, ReasonBadRow, "bad_timestamp", amazonAnn, amazonBob},
	"ratings_2023.csv":   {Amazon, ReasonBadRow, "bad_timestamp", amazonAnn, amazonBob},
}

var (
	plainAnn, plainBob   = [2]string{"ann", "apple"}, [2]string{"bob", "beer"}
	amazonAnn, amazonBob = [2]string{"A3SUSER0000001", "B00APPLE01"}, [2]string{"A3SUSER0000002", "0205616461"}
)

func TestDatasets(t *testing.T) {
	ids := make(map[string]string) // of the event of a user
	for name, c := range datasetFiles {
		for _, format := range []Format{Auto, c.format} {
			h := newHarness()
			h.Format = format
			var report Report
			h.Reject = report.Watch(h.Reject)
			path := filepath.Join("testdata", name)
			if got, want := h.run(t, path), (Result{Rows: 4, Appended: 2, Rejected: 2, Users: 2}); got != want {
				t.Errorf("%s as %s: got %+v, want %+v; rejected %+v", name, format, got, want, h.rejected)
				continue
			}
			for i, want := range [][2]string{c.ann, c.bob} {
				e := h.events[want[0]][0]
				if e.Item != want[1] || e.Type != "rate" || e.Time.UnixMilli() != 978_300_760_000+int64(i)*1000 {
					t.Errorf("%s as %s: the event of %s is %+v", name, format, want[0], e)
				}
				if known := ids[want[0]]; known != "" && known != e.ID {
					t.Errorf("%s as %s: the event of %s has the id %s, elsewhere %s: an event that is imported from two files must count once", name, format, want[0], e.ID, known)
				}
				ids[want[0]] = e.ID
			}
			if report.ByReason[c.reason] != 1 || report.ByReason[c.reason3] != 1 || len(report.First) != 2 || report.First[0].Reason != c.reason3 {
				t.Errorf("%s as %s: the report is %+v, want %s and %s", name, format, report, c.reason3, c.reason)
			}
			if got, want := h.run(t, path), (Result{Rows: 4, Duplicates: 2, Rejected: 2, Users: 2}); got != want {
				t.Errorf("%s as %s, the second time: got %+v, want %+v", name, format, got, want)
			}
		}
	}
}

func TestDatasetEventIDs(t *testing.T) {
	base := interaction{"ann", "apple", "5", "978300760"}
	for _, c := range []struct {
		other interaction
		same  bool
	}{
		{interaction{"ann", "apple", "5.0", "978300760.0"}, true},
		{interaction{"ann", "apple", "5", "978300760000"}, true},
		{interaction{"ann", "apple", "4", "978300760"}, false},
		{interaction{"ann", "apple", "", "978300760"}, false},
		{interaction{"ann", "apple", "5", "978300761"}, false},
		{interaction{"anna", "pple", "5", "978300760"}, false},
	} {
		if got := eventID(t, c.other) == eventID(t, base); got != c.same {
			t.Errorf("%v and %v have the same id: %v, want %v", base, c.other, got, c.same)
		}
	}
	// Written down, because ids that change would import everything twice.
	if got, want := eventID(t, base), "0a7e119b-ff33-568b-be1c-3586b88bd441"; got != want {
		t.Errorf("the id of %v is %s, want %s: it must never change", base, got, want)
	}
}

func eventID(t *testing.T, i interaction) string {
	t.Helper()
	var fields struct {
		ID string `json:"event_id"`
	}
	if err := json.Unmarshal(i.event(anyOptions), &fields); err != nil {
		t.Fatal(err)
	}
	return fields.ID
}

func TestDatasetErrorsNameTheFile(t *testing.T) {
	for _, c := range []struct {
		name    string
		format  Format
		content string
		want    string
	}{
		{"empty.inter", Auto, "", "the file is empty"},
		{"a.inter", Auto, "user_id:token\titem_id:token\n", `there is no column "timestamp"`},
		{"a.inter", Auto, "user_id:token\tuser_id:token\titem_id:token\ttimestamp:float\n", `two columns "user_id"`},
		{"a.csv", MovieLens, "user,movie\n", `there is no column "userId"`},
		{"a.csv", Amazon, "1,2,3,4\n", "neither Amazon's column names"},
		{"a.parquet", Amazon, "PAR1", "has no Parquet files"},
	} {
		h := newHarness()
		h.Format = c.format
		path := write(t, c.name, []byte(c.content))
		if _, err := Run(t.Context(), h.Config, h, []string{path}); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v, want one with the path and %q", c.name, err, c.want)
		}
	}
}

// No bytes cause more than an error, and values are always JSON.
func FuzzDatasets(f *testing.F) {
	for name, c := range datasetFiles {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, name, string(c.format))
	}
	f.Fuzz(func(t *testing.T, data []byte, name, format string) {
		r, err := newTextReader(bytes.NewReader(data), name, fileOptions{format: Format(format), limits: event.DefaultLimits()})
		if err == nil {
			readAll(t, r)
		}
	})
}

func FuzzInteraction(f *testing.F) {
	f.Add("ann", "apple", "5", "978300760")
	f.Add("", "\xff", "NaN", "1e309")
	f.Add("ann", "apple", "5", "010000000000000000")
	f.Fuzz(func(t *testing.T, user, item, rating, time string) {
		i := interaction{user, item, rating, time}
		if text := i.event(anyOptions); !json.Valid(text) || !bytes.Equal(text, i.event(anyOptions)) {
			t.Fatalf("%q comes to %s", i, text)
		}
	})
}
