package userstate

import (
	"fmt"
	"reflect"
	"strings"
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

func BenchmarkDecodeList(b *testing.B) {
	value, err := sampleList(20).Encode()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeList(value); err != nil {
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
	l, err := DecodeList(value)
	clear(value)
	if err != nil || !reflect.DeepEqual(l, sampleList(3)) {
		t.Errorf("got %+v, error %v", l, err)
	}
}

func TestDecodeListRejectsTrailingBytes(t *testing.T) {
	for _, value := range []string{`{}{}`, `{} x`, `{}]`} {
		if _, err := DecodeListString(value); err == nil {
			t.Errorf("%q was accepted", value)
		}
	}
	if _, err := DecodeListString(" {} \n"); err != nil {
		t.Errorf("surrounding white space is rejected: %v", err)
	}
}

// A list that was decoded survives encoding and decoding.
func FuzzDecodeList(f *testing.F) {
	f.Add([]byte(`{"rec_id":"r","model_version":"v","sequence_version":3,"generated_at":"2026-01-02T03:04:05.006Z","items":[{"item_id":"a","score":0.5}]}`))
	f.Add([]byte(`{"items":null}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, value []byte) {
		first, err := DecodeList(value)
		if err != nil {
			return
		}
		written, err := first.Encode()
		if err != nil {
			return // a year that RFC 3339 cannot represent
		}
		// Encoding truncates the time and replaces null items by an empty list.
		second, err := DecodeList(written)
		if err != nil {
			t.Fatalf("%q was decoded, but not its encoding %q: %v", value, written, err)
		}
		again, err := second.Encode()
		if err != nil {
			t.Fatal(err)
		}
		third, err := DecodeList(again)
		if err != nil || !reflect.DeepEqual(second, third) {
			t.Errorf("%+v was decoded again as %+v (error %v)", second, third, err)
		}
	})
}

func TestVersionOf(t *testing.T) {
	first, second := NewRecID("v000002"), NewRecID("v000002")
	if first == second || VersionOf(first) != "v000002" {
		t.Errorf("got %q and %q, want two different IDs that contain v000002", first, second)
	}
	for id, want := range map[string]string{
		"": "", "01K9": "", "R7.": "", ".v1": "v1", "R7.a.b-c_d": "a.b-c_d", "R7.v 1": "", "R7.v1\x1fx": "", "R7.{v1}": "", "R7../v1": "",
		"R7." + strings.Repeat("v", 64): strings.Repeat("v", 64), "R7." + strings.Repeat("v", 65): "",
	} {
		if got := VersionOf(id); got != want {
			t.Errorf("the version of rec_id %q is %q, want %q", id, got, want)
		}
	}
}
