package importer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"genrec/pkg/event"
)

// readAll reads rows up to a limit: a Parquet file can declare any number of empty rows.
func readAll(t *testing.T, r rowReader) {
	for range 1000 {
		next, err := r.next()
		if err != nil {
			return
		}
		if next.number < 1 {
			t.Fatalf("row %d", next.number)
		}
		if next.err == nil {
			_, _ = event.Decode(next.value, time.UnixMilli(1_772_366_400_000), event.DefaultLimits())
		}
	}
}

func FuzzCSV(f *testing.F) {
	f.Add([]byte(csvText))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := newCSVReader(bufio.NewReaderSize(bytes.NewReader(data), lineBuffer), anyOptions); err == nil {
			readAll(t, r)
		}
	})
}

func FuzzLines(f *testing.F) {
	f.Add([]byte(jsonText))
	f.Fuzz(func(t *testing.T, data []byte) { readAll(t, newLineReader(bytes.NewReader(data))) })
}

func FuzzParquet(f *testing.F) {
	f.Add(parquetFile(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := newParquetReader(bytes.NewReader(data), int64(len(data)), anyOptions); err == nil {
			readAll(t, r)
		}
	})
}

func FuzzObject(f *testing.F) {
	f.Add("ann", "apple")
	f.Fuzz(func(t *testing.T, user, item string) {
		o := newObject()
		o.add("user_id", user)
		o.add("item_id", item)
		if text := o.end(); !json.Valid(text) {
			t.Fatalf("%q and %q come to %s", user, item, text)
		}
	})
}
