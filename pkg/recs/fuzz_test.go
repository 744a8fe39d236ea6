package recs

import (
	"reflect"
	"testing"
)

// What is read of a list is what is read again after it was written.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"rec_id":"r","model_version":"v","sequence_version":3,"generated_at":"2026-01-02T03:04:05.006Z","items":[{"item_id":"a","score":0.5}]}`))
	f.Add([]byte(`{"items":null}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, value []byte) {
		first, err := Decode(value)
		if err != nil {
			return
		}
		written, err := first.Encode()
		if err != nil {
			return // a year that JSON cannot hold
		}
		// Writing rounds the time, and makes no items an empty list.
		second, err := Decode(written)
		if err != nil {
			t.Fatalf("%q was read, but not %q, which it was written as: %v", value, written, err)
		}
		again, err := second.Encode()
		if err != nil {
			t.Fatal(err)
		}
		third, err := Decode(again)
		if err != nil || !reflect.DeepEqual(second, third) {
			t.Errorf("%+v was read again as %+v (error %v)", second, third, err)
		}
	})
}
