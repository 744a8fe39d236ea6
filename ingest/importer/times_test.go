package importer

import (
	"strings"
	"testing"
	"time"
)

// Times as databases, languages and spreadsheets export them; all are noon.
func TestParseTime(t *testing.T) {
	const dayFirst, monthFirst = "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %I:%M %p"
	for _, c := range []struct{ text, format string }{
		{"2026-03-01 12:00:00 ", ""},
		{" 2026-03-01T12:00:00Z", ""},
		{"2026-03-01T17:30:00+0530", ""},
		{"2026-03-01T17:30:00.000+05:30", ""},
		{"2026-03-01 17:30:00 +0530", ""},
		{"2026-03-01 13:00:00 +01:00", ""},
		{"2026-03-01 13:00:00+01", ""},
		{"2026-03-01 12:00:00 +0000 UTC", ""},
		{"2026-03-01 12:00:00.000000001 +0000 UTC m=+0.000012", ""},
		{"2026-03-01 13:00:00 +0100 CET", ""},
		{"2026-03-01T12:00Z", ""},
		{"2026-03-01T17:30+05:30", ""},
		{"2026-03-01 13:00+01:00", ""},
		{"2026/03/01 12:00:00", ""},
		{"2026/03/01 12:00", ""},
		{"2026-03-01 12:00:00 PM", ""},
		{"2026-03-01 3:00 PM", "2026-03-01 3:00 PM, not noon"},
		{"Sun, 01 Mar 2026 12:00:00 GMT", ""},
		{"Sun, 01 Mar 2026 13:00:00 +0100", ""},
		{"1772366400", ""},
		{"1.7723664e9", ""},
		{"01/03/2026 12:00:00", dayFirst},
		{"1/3/2026 12:00:00", dayFirst},
		{"01/03/2026 12:00:00.000123", dayFirst},
		{"03/01/2026 12:00 PM", monthFirst},
		{"3/1/2026 12:00 pm", monthFirst},
		{"01.03.2026 12:00", "%d.%m.%Y %H:%M"},
		{"01.03.2026 12:00", "02.01.2006 15:04"},
		{"20260301120000", "%Y%m%d%H%M%S"},
		{"260301 12:00:00", "%y%m%d %T"},
		{"01/Mar/2026:17:30:00 +0530", "%d/%b/%Y:%H:%M:%S %z"},
		{"01/Mar/2026:17:30:00 +05:30", "%d/%b/%Y:%H:%M:%S %z"},
		{"Sunday, March 1, 2026 12:00:00 UTC", "%A, %B %d, %Y %H:%M:%S %Z"},
		{"2026-03-01 12:00:00", dayFirst},       // always accepted
		{"2026-03-01T12:00:00.25Z", monthFirst}, // with a fraction
		{"Mar  1 2026 12:00PM", "%b %e %Y %I:%M%p"},
	} {
		w := Mapping{}
		if strings.Contains(c.format, "not noon") {
			if at, ok := w.parseTime(c.text); !ok || at.Hour() != 15 {
				t.Errorf("%q is %v (%v), want 15:00", c.text, at, ok)
			}
			continue
		}
		var err error
		if c.format != "" {
			w.TimeFormats, err = ParseTimeFormats([]string{c.format})
		}
		if at, ok := w.parseTime(c.text); err != nil || !ok || !at.Truncate(time.Second).Equal(noon) {
			t.Errorf("%q by %q is %v (%v, error %v), want %v", c.text, c.format, at, ok, err, noon)
		}
	}
}

// Ambiguous times are not guessed.
func TestAmbiguousTimes(t *testing.T) {
	for _, c := range []struct{ text, format string }{
		{"01/03/2026 12:00", ""},
		{"01.03.2026", ""},
		{"03/01/2026 12:00 PM", ""},
		{"2026-03-01 12:00:00 PST", "%Y-%m-%d %H:%M:%S %Z"},
		{"Sun, 01 Mar 2026 12:00:00 EST", ""},
		{"13/13/2026", "%d/%m/%Y"},
		{"noon", ""},
		{"", ""},
		{"NaN", ""},
		{"1e300", ""},
	} {
		var w Mapping
		if c.format != "" {
			var err error
			if w.TimeFormats, err = ParseTimeFormats([]string{c.format}); err != nil {
				t.Fatal(err)
			}
		}
		at, ok := w.parseTime(c.text)
		if ok && anyOptions.isTime(c.text) {
			t.Errorf("%q by %q is parsed as %v", c.text, c.format, at)
		}
	}
	for text, want := range map[string]string{
		"%d/%m": "does not say year, month and day", "%H:%M": "does not say", "day first": "does not say", "": "does not say",
		"%d/%m/%Q": `unknown directive in "%Q"`, "%Y-%m-%d 00:%M": "has digits between", "%d/%m/%Y %": "unknown directive", "DD/MM/YYYY": "does not say",
	} {
		if _, err := ParseTimeFormats([]string{text}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "%d/%m/%Y %H:%M:%S") {
			t.Errorf("the format %q: error %v, want %q and an example", text, err, want)
		}
	}
}

// The first format that matches is used, so that the order decides between days and months.
func TestTimeFormatsInOrder(t *testing.T) {
	formats, err := ParseTimeFormats([]string{"%d/%m/%Y", "%m/%d/%Y"})
	if err != nil {
		t.Fatal(err)
	}
	w := Mapping{TimeFormats: formats}
	for text, month := range map[string]time.Month{"01/03/2026": time.March, "03/28/2026": time.March} {
		if at, ok := w.parseTime(text); !ok || at.Month() != month {
			t.Errorf("%s is %v", text, at)
		}
	}
}

// Errors quote a time as it is written, and the rejected row contains it.
func TestTimeErrorsQuoteTheFile(t *testing.T) {
	for _, c := range []struct{ name, text, want, kept string }{
		{"a.csv", "user_id,item_id,timestamp\nu,i,01/03/2026 12:00\n", `"01/03/2026 12:00" is not a time`, `"01/03/2026 12:00"`},
		{"a.csv", "user_id,item_id,timestamp\nu,i,16119036\n", `"16119036" is 1970-07-06T13:30:36Z, before 1990-01-01`, `16119036`},
		{"a.csv", "user_id,item_id,timestamp\nu,i,99999999999\n", `"99999999999" is 5138-11-16T09:46:39Z, more than 24h0m0s ahead`, `99999999999`},
		{"a.jsonl", `{"user_id": "u", "item_id": "i", "timestamp": 1611903}`, `"1611903" is 1970-01-19T15:45:03Z, before`, `1611903`},
		{"a.jsonl", `{"user": "u", "item": "i", "t": "noon"}`, `"noon" is not a time`, `"noon"`},
		{"ratings.dat", "1::2::3::16119036\n", `"16119036" is 1970-07-06T13:30:36Z`, `16119036`},
		{"a.inter", "user_id:token\titem_id:token\ttimestamp:float\nu\ti\t99999999999\n", `"99999999999" is 5138`, `99999999999`},
		{"a.csv", "user_id,item_id,timestamp\nu,i," + strings.Repeat("9", 1000) + "x\n", `9"... is not a time`, `"99999`},
	} {
		h := newHarness()
		if strings.Contains(c.text, `"t"`) {
			h.Mapping.Columns = Columns{"user": "user_id", "item": "item_id", "t": "timestamp"}
		}
		_, err := Run(t.Context(), h.Config, h, []string{write(t, c.name, []byte(c.text))})
		if err == nil || len(h.rejected) != 1 || h.rejected[0].Reason != "bad_timestamp" || !strings.Contains(h.rejected[0].Detail, c.want) || !strings.Contains(string(h.rejected[0].Value), `"timestamp":`+c.kept) {
			t.Errorf("%q: rejected %+v (%s), error %v, want %q and %s kept", c.text, h.rejected, h.rejected[0].Value, err, c.want, c.kept)
			continue
		}
		if !strings.Contains(h.rejected[0].Detail, "--time-format") {
			t.Errorf("%q: rejected because %s", c.text, h.rejected[0].Detail)
		}
	}
}

func FuzzTimeFormat(f *testing.F) {
	f.Add("%d/%m/%Y %H:%M:%S", "01/03/2026 12:00:00")
	f.Add("02.01.2006", "01.03.2026")
	f.Fuzz(func(_ *testing.T, format, text string) {
		w := Mapping{}
		w.TimeFormats, _ = ParseTimeFormats([]string{format})
		w.parseTime(text)
	})
}
