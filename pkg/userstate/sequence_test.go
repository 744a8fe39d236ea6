package userstate

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"genrec/pkg/event"
)

func TestEncodeEvent(t *testing.T) {
	for _, id := range []string{
		"e", "9f1c", "01JX9YZW8Q3T5V7B2N4M6K8H0C", "b0f1c8de-0b8e-4f36-9d6a-5a1d6c0e7f12", "B0F1C8DE-0B8E-4F36-9D6A-5A1D6C0E7F12",
		"b0f1c8de-0b8e-4f36-9d6a-5a1d6c0e7f1x", "b0f1c8de-0b8e-4f36-9d6a+5a1d6c0e7f12", "sPHI3guOTzadalodbA5_Eg", strings.Repeat("x", 256),
	} {
		for _, kind := range []string{"view", "click", "add_to_cart", "purchase", "like", "rate", "share"} {
			e := event.Event{ID: id, Item: "B000142FVW", Type: kind, Time: time.UnixMilli(1_700_000_000_123).UTC()}
			entry, err := EncodeEvent(e)
			if err != nil {
				t.Fatal(err)
			}
			got, ok := decodeOne(entry)
			if want := (Interaction{EventID: e.ID, Item: e.Item, Type: e.Type, Time: e.Time}); !ok || got != want {
				t.Errorf("%+v is decoded as %+v", want, got)
			}
		}
	}
	if _, err := EncodeEvent(event.Event{ID: "e", Item: "i", Type: "v"}); err == nil {
		t.Error("the short form of a type was accepted as a type")
	}
}

// Every valid type has a short form of one byte.
func TestShortTypes(t *testing.T) {
	for _, kind := range event.DefaultLimits().Types {
		if short := shortTypes[kind]; len(short) != 1 || longTypes[short] != kind {
			t.Errorf("type %q is encoded as %q, which is decoded as %q", kind, short, longTypes[short])
		}
	}
}

// FuzzDecodeSequence accepts any input. What can be decoded survives encoding and decoding.
func FuzzDecodeSequence(f *testing.F) {
	ids := []string{"e1", "b0f1c8de-0b8e-4f36-9d6a-5a1d6c0e7f12", "e3", "e4", "e5"}
	for n := range ids { // as they are appended to a window of 3
		f.Add(encodeSequence(f, 3, ids[:n+1]...), 2)
	}
	f.Add("", 1)
	f.Add("0"+strings.Repeat("\x1e\x1f000000000\x1f", 3)+"00000000003000000000000000", 2)
	f.Add(strings.Repeat("0", FooterWidth), 1)
	f.Add("no entry\x1e\x1f000000000\x1f"+"00000001002000000000000000", 1)
	f.Fuzz(func(t *testing.T, stored string, window int) {
		if window < 1 || window > MaxWindow {
			return
		}
		version, newest, err := DecodeSequence(stored, window)
		if err != nil {
			return
		}
		if version < 0 || len(newest) > window {
			t.Fatalf("%q is decoded as version %d with %d entries, at most %d are allowed", stored, version, len(newest), window)
		}
		for _, i := range newest {
			entry, err := EncodeEvent(event.Event{ID: i.EventID, Item: i.Item, Type: i.Type, Time: i.Time, RecID: "r." + i.Credited})
			if err != nil || strings.ContainsAny(i.EventID+i.Item+i.Type, "\x1c\x1e\x1f") || VersionOf("r."+i.Credited) != i.Credited {
				continue // not the encoding of an event
			}
			if again, ok := decodeOne(entry); !ok || !reflect.DeepEqual(again, i) {
				t.Fatalf("%+v is decoded as %+v", i, again)
			}
		}
	})
}

func TestCorruptSequencesAreRejected(t *testing.T) {
	entry := "\x1ee1\x1f000000001hat\x1fv"
	footer := func(count, skipped int) string { return fmt.Sprintf("%08x%03x%06x%s", 7, count, skipped, "000000001") }
	for name, stored := range map[string]string{
		"too short":                     "x",
		"no number":                     entry + "0000000g001000000000000001",
		"a sign":                        entry + "+0000007001000000000000001",
		"fewer entries":                 entry + footer(2, 0),
		"more entries":                  entry + entry + footer(1, 0),
		"many entries":                  entry + footer(0xfff, 0),
		"skips all":                     entry + footer(1, 100),
		"begins within an entry":        entry + entry + footer(2, 1),
		"begins before the window":      "x" + entry + entry + entry + footer(4, 0),
		"no event id":                   "\x1e000000001hat" + footer(1, 0),
		"no item":                       "\x1ee1\x1f000000001hat" + footer(1, 0),
		"no time":                       "\x1ee1\x1f00000*001hat\x1fv" + footer(1, 0),
		"a UUID of too few characters":  "\x1e\x1cAAAA\x1f000000001hat\x1fv" + footer(1, 0),
		"a UUID of other characters":    "\x1e\x1cAAAAAAAAAAAAAAAAAAAAA*\x1f000000001hat\x1fv" + footer(1, 0),
		"entries where there were none": entry + footer(0, 0),
	} {
		if version, newest, err := DecodeSequence(stored, 3); err == nil {
			t.Errorf("%s: %q is decoded as version %d with %+v", name, stored, version, newest)
		}
		if items, err := DecodeItems(stored); err == nil && !strings.Contains(name, "UUID") {
			t.Errorf("%s: %q is decoded as the items %q", name, stored, items)
		}
	}
	if _, newest, err := DecodeSequence(entry+entry+footer(2, 0), 1); err != nil || len(newest) != 1 {
		t.Errorf("got %+v, error %v; want the newest of two entries", newest, err)
	}
}

func FuzzEventID(f *testing.F) {
	f.Add("e1")
	f.Add("b0f1c8de-0b8e-4f36-9d6a-5a1d6c0e7f12")
	f.Add("B0F1C8DE-0B8E-4F36-9D6A-5A1D6C0E7F12")
	f.Fuzz(func(t *testing.T, id string) {
		if strings.HasPrefix(id, uuidMark) {
			return // IDs contain no control characters
		}
		if got, ok := (&uuids{left: 1}).unpack(packID(id)); !ok || got != id {
			t.Fatalf("%q is unpacked as %q", id, got)
		}
	})
}

func FuzzDecodeErasure(f *testing.F) {
	f.Add("1700000000000 7")
	f.Add("7")
	f.Fuzz(func(_ *testing.T, value string) { _, _ = DecodeErasure(value) })
}

// encodeSequence returns a stored sequence in which the first entries are evicted from the window.
func encodeSequence(tb testing.TB, window int, ids ...string) string {
	tb.Helper()
	f := Footer{Version: int64(len(ids)), Count: int64(min(len(ids), window))}
	var entries string
	for i, id := range ids {
		e, err := EncodeEvent(event.Event{ID: id, Item: fmt.Sprintf("B%09d", i), Type: event.DefaultType, Time: time.UnixMilli(1_700_000_000_000 + int64(i))})
		if err != nil {
			tb.Fatal(err)
		}
		entries += e.Key + e.Rest
		if f.Newest = e.Time(); i < len(ids)-window {
			f.Evicted = int64(len(entries))
		}
	}
	return entries + f.Encode()
}

func decodeOne(e Entry) (i Interaction, ok bool) {
	ok = decodeEntry(e.Key+e.Rest, &i, &uuids{left: 1})
	return i, ok
}

func TestCreditedVersionIsStored(t *testing.T) {
	e, err := EncodeEvent(event.Event{ID: "e", Item: "i", Type: event.DefaultType, Time: time.UnixMilli(11), RecID: "R9.v000003"})
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := decodeOne(e); !ok || got.Credited != "v000003" || got.Type != event.DefaultType {
		t.Errorf("%+v is decoded as %+v", e, got)
	}
}

func BenchmarkDecodeSequence(b *testing.B) {
	ids := make([]string, 128)
	for i := range ids {
		ids[i] = fmt.Sprintf("8c5f7c52-0b8e-4f36-9d6a-%012x", i)
	}
	stored := encodeSequence(b, len(ids), ids...)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := DecodeSequence(stored, len(ids)); err != nil {
			b.Fatal(err)
		}
	}
}
