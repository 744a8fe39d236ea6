package sessions

import (
	"strings"
	"testing"

	"genrec/pkg/event"
)

func TestRecIDsNameTheVersion(t *testing.T) {
	first, second := NewRecID("v000002"), NewRecID("v000002")
	if first == second || VersionOf(first) != "v000002" {
		t.Errorf("got %q and %q, want two ids that name v000002", first, second)
	}
	for id, want := range map[string]string{
		"": "", "01K9": "", "R7.": "", ".v1": "v1", "R7.a.b-c_d": "a.b-c_d", "R7.v 1": "", "R7.v1\x1fx": "", "R7.{v1}": "", "R7../v1": "",
		"R7." + strings.Repeat("v", 64): strings.Repeat("v", 64), "R7." + strings.Repeat("v", 65): "",
	} {
		if got := VersionOf(id); got != want {
			t.Errorf("rec_id %q names %q, want %q", id, got, want)
		}
	}
}

// An event remembers whose recommendations it answers, wherever it comes to stand.
func TestSequencesKeepWhoIsCredited(t *testing.T) {
	s := newStore(t, Options{Window: 3})
	for i, recID := range []string{"", "R7.v000002", "nobody knows", "R8.v000003"} {
		e := eventAt(int64(10-i), string(rune('a'+i))) // each before the others
		e.RecID = recID
		s.mustAppend(t, "ann", e)
	}
	var got []string
	for _, i := range s.sequence(t, "ann").Interactions {
		got = append(got, i.Item+" "+i.Type+" "+i.Credited)
	}
	const want = "item-of-c view ,item-of-b view v000002,item-of-a view "
	if strings.Join(got, ",") != want {
		t.Errorf("got %q, want %q", strings.Join(got, ","), want)
	}
	e := eventAt(11, "e")
	e.RecID = "R9.v000003"
	begin, rest, err := encodeEvent(e)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := decodeOne(begin + rest); !ok || got.Credited != "v000003" || got.Type != event.DefaultType {
		t.Errorf("%q is read as %+v", begin+rest, got)
	}
}
