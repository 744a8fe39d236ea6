package event

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"
)

func FuzzDecode(f *testing.F) {
	for _, s := range samples() {
		f.Add([]byte(s.json))
	}
	limits := DefaultLimits()
	f.Fuzz(func(t *testing.T, value []byte) {
		e, err := Decode(value, now, limits)
		if general, invalid := decode(value, now, limits); (invalid == nil) != (err == nil) || !reflect.DeepEqual(general, e) {
			t.Fatalf("Decode returns %+v (%v), decode without the fast path %+v (%v)", e, err, general, invalid)
		}
		if err != nil {
			var invalid *InvalidError
			if !errors.As(err, &invalid) || invalid.Reason == "" || len(invalid.Detail) > maxDetail {
				t.Fatalf("Decode must return an InvalidError of bounded size, got %#v", err)
			}
			return
		}

		// Escapes can make the encoded form longer than the input.
		roomy := limits
		roomy.MaxBytes *= 6
		encoded, err := json.Marshal(e)
		if err != nil {
			t.Fatalf("encode the accepted event %+v: %v", e, err)
		}
		again, err := Decode(encoded, now, roomy)
		if err != nil {
			t.Fatalf("an accepted event must be accepted in its own encoding %s: %v", encoded, err)
		}
		if again.ID != e.ID || again.User != e.User || again.Item != e.Item || again.Type != e.Type || again.RecID != e.RecID || !again.Time.Equal(e.Time) {
			t.Fatalf("encoding changed the event\nfrom %+v\nto   %+v", e, again)
		}
	})
}
