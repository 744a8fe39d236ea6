package recs

import (
	"fmt"
	"reflect"
	"testing"
	"time"
)

func sampleList(items int) List {
	l := List{
		RecID: "R5JUQZ6CMZCFDK3CHBKXBZ7D3T.20260301-120000", User: "user-123456", ModelVersion: "20260301-120000", SequenceVersion: 1234,
		GeneratedAt: time.Date(2026, 3, 1, 12, 0, 0, 250_000_000, time.UTC), Source: SourceModel,
	}
	for i := range items {
		l.Items = append(l.Items, ScoredItem{Item: fmt.Sprintf("B%09d", i*7919), Score: float64(float32(-0.123456 * float32(i+1)))})
	}
	return l
}

func BenchmarkDecode(b *testing.B) {
	value, err := sampleList(20).Encode()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(value); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	l := sampleList(20)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Encode(); err != nil {
			b.Fatal(err)
		}
	}
}

func TestDecodedListIsIndependent(t *testing.T) {
	value, err := sampleList(3).Encode()
	if err != nil {
		t.Fatal(err)
	}
	l, err := Decode(value)
	clear(value)
	if err != nil || !reflect.DeepEqual(l, sampleList(3)) {
		t.Errorf("got %+v, error %v", l, err)
	}
}

func TestDecodeRefusesWhatFollows(t *testing.T) {
	for _, value := range []string{`{}{}`, `{} x`, `{}]`} {
		if _, err := DecodeString(value); err == nil {
			t.Errorf("%q was accepted", value)
		}
	}
	if _, err := DecodeString(" {} \n"); err != nil {
		t.Errorf("space around the text is refused: %v", err)
	}
}
