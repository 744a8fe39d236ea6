package sessions

import (
	"fmt"
	"testing"
)

// fullSequence is a stored sequence of a full window, whose event ids are UUIDs.
func fullSequence(tb testing.TB) string {
	tb.Helper()
	s := ""
	last := ""
	for i := range int64(DefaultWindow) {
		e := eventAt(1_700_000_000_000+i, fmt.Sprintf("8c5f7c52-0b8e-4f36-9d6a-%012x", i))
		e.Item = fmt.Sprintf("B%09d", i)
		id, rest, err := encodeEvent(e)
		if err != nil {
			tb.Fatal(err)
		}
		s += id + rest
		last = rest[:timeWidth]
	}
	return s + fmt.Sprintf("%08x%03x%06x", DefaultWindow, DefaultWindow, 0) + last
}

func BenchmarkDecodeSequence(b *testing.B) {
	stored := fullSequence(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := decodeSequence(stored, DefaultWindow); err != nil {
			b.Fatal(err)
		}
	}
}
