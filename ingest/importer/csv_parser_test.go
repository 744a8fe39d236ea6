package importer

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

// rowsOf returns n lines of a table of users, items, titles and times.
func rowsOf(from, n int) string {
	var text strings.Builder
	for i := from; i < from+n; i++ {
		fmt.Fprintf(&text, "u%d,i%d,song %d,%d\n", i%50, i%97, i, 1_611_903_660+i)
	}
	return text.String()
}

// A malformed record is rejected by its line, and every other line is imported.
func TestStrayQuotes(t *testing.T) {
	const header = "user_id,item_id,title,timestamp\n"
	for _, c := range []struct {
		name, file, text string
		rows             int64
		rejected         []int64 // lines
	}{
		{"two that form a pair after a text", "a.csv", header + rowsOf(0, 9) + "u9,i9,\"song,1611903670\n" + rowsOf(10, 1490) + "u1,i2,other\" song,1611905161\n" + rowsOf(1501, 499), 2000, []int64{11, 1502}},
		{"two that pair up before a separator", "a.csv", header + "u9,i9,\"song,1611903670\n" + rowsOf(10, 1490) + "u1,i2,song\",1611905161\n" + rowsOf(1501, 9), 1501, []int64{2, 1493}},
		{"two in consecutive lines", "a.csv", header + "u9,i9,\"song,1611903670\nu1,i2,song\",1611905161\n" + rowsOf(0, 3), 5, []int64{2, 3}},
		{"two in the last column", "a.csv", "user_id,item_id,timestamp,title\nu,i,1611903670,\"a\nu,i,1611903671,b\nu,i,1611903672,c\"\nu,i,1611903673,d\n", 4, []int64{2, 4}},
		{"two in the first column", "a.csv", "title,user_id,item_id,timestamp\n\"a,u,i,1611903670\nb,u,i,1611903671\nc\",u,i,1611903672\nd,u,i,1611903673\n", 4, []int64{2, 4}},
		{"around an empty field in quotes", "a.csv", header + "u,i,\"a,1611903670\nu,i,\"\",1611903671\nu,i,c\",1611903672\n" + rowsOf(0, 1), 4, []int64{2, 4}},
		{"one that nothing closes", "a.csv", header + rowsOf(0, 2) + "u9,i9,\"song,1611903670\n" + rowsOf(3, 3000), 3003, []int64{4}},
		{"one that nothing closes within the limit", "a.csv", header + "u9,i9,\"song,1611903670\n" + rowsOf(3, 60_000), 60_001, []int64{2}},
		{"one in the last line", "a.csv", header + rowsOf(0, 2) + "u9,i9,\"song,1611903670", 3, []int64{4}},
		{"before rows with quotes", "a.csv", header + "u9,i9,\"song,1611903670\nu,i,\"a, b\",1611903670\nu,i,\"c\nd\",1611903671\n", 3, []int64{2}},
		{"in a field without quotes", "a.csv", header + "u,i,12\" vinyl,1611903670\n" + rowsOf(0, 1), 2, []int64{2}},
		{"text after a closing quote", "a.csv", header + "u,i,\"12\" vinyl\",1611903670\n" + rowsOf(0, 1), 2, []int64{2}},
		{"fields all in quotes, one not closed", "a.csv", "\"user_id\";\"item_id\";\"timestamp\"\n\"u\";\"i;\"1611903670\"\n\"u\";\"i\";\"1611903671\n\"u\";\"i\";\"1611903672\"\n", 3, []int64{2, 3}},
		{"the wrong number of fields over several lines", "a.csv", header + "u,i,\"a\nb\",1,1611903670\n" + rowsOf(0, 1), 3, []int64{2, 3}},
		{"plain text between tabs", "a.tsv", "user_id\titem_id\ttitle\ttimestamp\nu\ti\t\"song\t1611903670\nu\t\"i\"\t12\" song\t1611903671\nu\ti\t\"\t1611903672\n", 3, nil},
		{"plain text between tabs in .csv", "a.csv", "user_id\titem_id\ttitle\ttimestamp\nu\ti\t\"song\t1611903670\nu\ti\tsong\"\t1611903671\n", 2, nil},
		{"fields in quotes between tabs", "a.tsv", "\"user_id\"\t\"item_id\"\t\"title\"\t\"timestamp\"\n\"u\"\t\"i\"\t\"a\tb\"\t1611903670\n", 1, nil},
		{"a review of many lines", "a.csv", header + "u,i,\"" + strings.Repeat("good, really, good, 5\n", 500) + "\",1611903670\n" + rowsOf(0, 1), 2, nil},
		{"reviews in the first and the last column", "a.csv", "title,user_id,item_id,timestamp,review\n\"a\nb\",u,i,1611903670,\"c\n\nd, e\"\n\"\n\",u,i,1611903671,\"\n\"\n", 2, nil},
		{"rows between empty lines", "a.csv", header + "\n \r\n" + rowsOf(0, 1) + "\r\n" + rowsOf(1, 1), 2, nil},
	} {
		h := newHarness()
		result := h.run(t, write(t, c.file, []byte(c.text)))
		var rejected []int64
		for _, r := range h.rejected {
			rejected = append(rejected, r.Line)
			if r.Reason != ReasonBadRow || len(r.Value) == 0 || bytes.ContainsAny(r.Value, "\r\n") {
				t.Errorf("%s: rejected %+v, want the line unchanged", c.name, r)
			}
		}
		if result.Rows != c.rows || result.Appended+result.Duplicates+result.Rejected != c.rows || !slices.Equal(rejected, c.rejected) {
			t.Errorf("%s: got %+v, lines %d rejected, want %d rows and lines %d", c.name, result, rejected, c.rows, c.rejected)
		}
	}
}

// A line that is too long is rejected alone, and not held in memory.
func TestLongLines(t *testing.T) {
	h := newHarness()
	long := strings.Repeat("x", 3*maxRow)
	path := write(t, "a.csv", []byte("user_id,item_id,timestamp\nu,\""+long+"\",1611903670\nu,i,1611903670\nu,"+long+",1611903671\nu,\""+strings.Repeat(strings.Repeat("x", 2000)+"\n", maxRow/1000)+"\",1611903671\nu,j,1611903672\n"))
	result := h.run(t, path)
	if len(h.events["u"]) != 2 || result.Rows != result.Rejected+2 || result.Rejected < 4 {
		t.Errorf("got %+v and %+v, want the two short rows", result, h.events)
	}
	if r := h.rejected[0]; r.Line != 2 || !strings.Contains(r.Detail, "is a quote not closed?") || len(r.Value) > maxRow {
		t.Errorf("line %d is rejected with %d bytes: %s", r.Line, len(r.Value), r.Detail)
	}
}

// No line is parsed more than twice: a file with many quotes would take too long.
func TestManyQuotesAreFast(t *testing.T) {
	h := newHarness()
	const rows = 100_000
	text := "user_id,item_id,title,timestamp\n" + rowsOf(0, 1) + strings.Repeat("u,i,\"a,1611903670\n", rows)
	if _, err := Run(t.Context(), h.Config, h, []string{write(t, "a.csv", []byte(text))}); err != nil || len(h.rejected) != rows {
		t.Errorf("%d of %d rows are rejected, error %v", len(h.rejected), rows, err)
	}
}

func newParser(data []byte, separator byte) *csvParser {
	return &csvParser{lines: newLineReader(bufio.NewReader(bytes.NewReader(data))), separator: separator, quotes: true}
}

// Files that encoding/csv accepts are parsed equally, except for blanks around unquoted fields.
func FuzzCSVLikeEncodingCSV(f *testing.F) {
	f.Add([]byte(csvText))
	f.Add([]byte("a,\"b\nc\"\"d\", e \r\n\r\n\"\",\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		want := csv.NewReader(bytes.NewReader(data))
		want.TrimLeadingSpace, want.FieldsPerRecord = true, -1
		all, err := want.ReadAll()
		if err != nil {
			return
		}
		got := newParser(data, ',')
		for i := 0; ; {
			rec, err := got.next()
			for i < len(all) && len(all[i]) == 1 && strings.TrimSpace(all[i][0]) == "" && (err != nil || !sameFields(rec.fields, all[i])) {
				i++ // a line of blanks, which is none here
			}
			if errors.Is(err, io.EOF) {
				if i < len(all) {
					t.Fatalf("%q: got %d records, want %q", data, i, all)
				}
				return
			}
			if err != nil || rec.err != nil || i == len(all) || !sameFields(rec.fields, all[i]) {
				t.Fatalf("%q: record %d is %q (%v, %v), want %q", data, i, rec.fields, rec.err, err, all)
			}
			i++
		}
	})
}

func sameFields(a, b []string) bool {
	return slices.EqualFunc(a, b, func(a, b string) bool { return strings.TrimSpace(a) == strings.TrimSpace(b) })
}

// Records that encoding/csv writes are parsed exactly.
func FuzzCSVRoundTrip(f *testing.F) {
	f.Add("a", "b\n\"c", " d,", true)
	f.Fuzz(func(t *testing.T, a, b, c string, crlf bool) {
		var out bytes.Buffer
		w := csv.NewWriter(&out)
		w.UseCRLF = crlf
		record := []string{a, b, c, "x"}
		_ = w.WriteAll([][]string{record, record})
		got := newParser(out.Bytes(), ',')
		for range 2 {
			rec, err := got.next()
			if err != nil || rec.err != nil || !sameFields(normalized(rec.fields), normalized(record)) {
				t.Fatalf("%q: got %q (%v, %v)", out.Bytes(), rec.fields, rec.err, err)
			}
		}
		if rec, err := got.next(); !errors.Is(err, io.EOF) {
			t.Fatalf("%q: got the further record %q (%v)", out.Bytes(), rec.fields, err)
		}
	})
}

// normalized replaces the line breaks that CSV cannot distinguish.
func normalized(fields []string) (all []string) {
	for _, field := range fields {
		all = append(all, strings.ReplaceAll(field, "\r", ""))
	}
	return all
}

// Every line that is not blank is in one record, in order, for any quotes.
func FuzzCSVLosesNoLine(f *testing.F) {
	f.Add([]byte("user_id,item_id,timestamp\nu,\"i,1611903670\nu,i,1611903670\nu,i\",1611903670\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := newParser(data, ',')
		r.want, r.isRow = 3, func(fields []string) bool { return anyOptions.isTime(fields[2]) }
		lines := strings.SplitAfter(string(data), "\n")
		next := int64(1) // line that must be in a record
		for {
			rec, err := r.next()
			if err == nil && rec.number < next {
				t.Fatalf("%q: line %d is in two records", data, rec.number)
			}
			end := int64(len(lines)) + 1
			if err == nil {
				end = rec.number
			}
			for ; next < end; next++ {
				if line := lines[next-1]; strings.Trim(line, " \r\n") != "" {
					t.Fatalf("%q: line %d, %q, is in no record", data, next, line)
				}
			}
			if err != nil {
				return
			}
			if next++; rec.err == nil {
				next = r.lastLine() + 1
			}
		}
	})
}

// lastLine returns the number of the last line of the latest record.
func (p *csvParser) lastLine() int64 {
	if p.at > 0 {
		return p.ahead[p.at-1].number
	}
	return p.lines.number - int64(len(p.ahead))
}

func BenchmarkCSV(b *testing.B) {
	var text strings.Builder
	text.WriteString("user_id,item_id,title,timestamp\n")
	for i := range 100_000 {
		if i%10 == 0 {
			fmt.Fprintf(&text, "u%d,i%d,\"song, %d\",%d\n", i%50, i%97, i, 1_611_903_660+i)
		} else {
			text.WriteString(rowsOf(i, 1))
		}
	}
	data := []byte(text.String())
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		c, err := newCSVReader(bufio.NewReaderSize(bytes.NewReader(data), lineBuffer), anyOptions)
		if err != nil {
			b.Fatal(err)
		}
		for {
			if _, err := c.next(); err != nil {
				break
			}
		}
	}
}
