package stream

import (
	"reflect"
	"testing"
)

func TestRefreshRoundTrip(t *testing.T) {
	want := Refresh{User: "u1", SequenceVersion: 1 << 60, ProducedAt: []int64{1772366400000, 1772366400001}}
	m, err := want.Message()
	if err != nil {
		t.Fatal(err)
	}
	if string(m.Key) != "u1" {
		t.Errorf("the key is %q, want the user id", m.Key)
	}
	got, err := DecodeRefresh(m.Value)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestDecodeRefreshErrors(t *testing.T) {
	for _, value := range []string{``, `null`, `[]`, `{`, `{}`, `{"user_id": 1}`, `{"user_id": "u", "sequence_version": "1"}`} {
		if r, err := DecodeRefresh([]byte(value)); err == nil {
			t.Errorf("DecodeRefresh(%q) accepted %+v", value, r)
		}
	}
}

func TestProducedAtIsBounded(t *testing.T) {
	var r Refresh
	for ms := range int64(3 * MaxProducedAt / 2) {
		r.AddProducedAt(2*ms, 2*ms+1)
	}
	if len(r.ProducedAt) != MaxProducedAt {
		t.Fatalf("got %d times, want %d", len(r.ProducedAt), MaxProducedAt)
	}
	for i, ms := range r.ProducedAt {
		if ms != int64(i) {
			t.Fatalf("time %d is %d, want the oldest in order", i, ms)
		}
	}
}

func FuzzDecodeRefresh(f *testing.F) {
	f.Add([]byte(`{"user_id": "u", "sequence_version": 1, "produced_at": [1, 2]}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		r, err := DecodeRefresh(value)
		if err == nil && (r.User == "" || len(r.ProducedAt) > MaxProducedAt) {
			t.Fatalf("accepted %+v", r)
		}
	})
}
