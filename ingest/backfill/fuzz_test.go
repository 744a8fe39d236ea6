package backfill

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"genrec/pkg/event"
)

// readAll reads rows until they end or fail.
func readAll(t *testing.T, r rows, err error, size int) {
	if err != nil {
		return
	}
	for n := 0; ; n++ {
		next, err := r.next()
		if err != nil {
			return
		}
		if n > 16*size+1024 {
			t.Fatalf("%d rows from %d bytes", n, size)
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
		r, err := newCSV(bytes.NewReader(data))
		if r != nil {
			readAll(t, r, err, len(data))
		}
	})
}

func FuzzLines(f *testing.F) {
	f.Add([]byte(jsonText))
	f.Fuzz(func(t *testing.T, data []byte) { readAll(t, newLines(bytes.NewReader(data)), nil, len(data)) })
}

func FuzzParquet(f *testing.F) {
	f.Add(parquetFile(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := newParquet(bytes.NewReader(data), int64(len(data)))
		if err == nil {
			readAll(t, r, nil, 1<<20) // runs of one value are short
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
