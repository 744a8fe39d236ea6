package main

import (
	"slices"
	"testing"
	"time"

	"genrec/pkg/event"
	"genrec/pkg/userstate"
	"genrec/sessions"
)

func TestCompareSequenceCountsFaults(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_000).UTC()
	var events []event.Event
	var right []userstate.Interaction
	for i, id := range []string{"a", "b", "c"} {
		e := event.Event{ID: id, Item: "item-" + id, Type: event.DefaultType, Time: at.Add(time.Duration(i) * time.Millisecond)}
		events = append(events, e)
		right = append(right, userstate.Interaction{EventID: e.ID, Item: e.Item, Type: e.Type, Time: e.Time})
	}
	changed := func(change func(s []userstate.Interaction) []userstate.Interaction) []userstate.Interaction {
		return change(slices.Clone(right))
	}
	for _, c := range []struct {
		name string
		got  []userstate.Interaction
		want differences
	}{
		{"as sent", right, differences{}},
		{"one missing", right[:2], differences{lost: 1, misordered: 1}},
		{"one twice", append(slices.Clone(right), right[2]), differences{duplicated: 1, misordered: 1}},
		{"two swapped", changed(func(s []userstate.Interaction) []userstate.Interaction {
			s[0], s[1] = s[1], s[0]
			return s
		}), differences{misordered: 1}},
		{"another item", changed(func(s []userstate.Interaction) []userstate.Interaction {
			s[1].Item = "other"
			return s
		}), differences{misordered: 1}},
	} {
		var found differences
		found.compareSequence(events, sessions.Sequence{Interactions: c.got})
		if found != c.want {
			t.Errorf("%s: found %+v, want %+v", c.name, found, c.want)
		}
	}
}

func TestUpToDate(t *testing.T) {
	events := []event.Event{{Item: "a"}, {Item: "b"}}
	sequence := sessions.Sequence{Version: 2}
	for _, c := range []struct {
		name string
		r    userstate.List
		want bool
	}{
		{"of the sequence", userstate.List{SequenceVersion: 2, Items: echoOf([]string{"a", "b"})}, true},
		{"of the previous version", userstate.List{SequenceVersion: 1, Items: echoOf([]string{"a", "b"})}, false},
		{"of other items", userstate.List{SequenceVersion: 2, Items: echoOf([]string{"a"})}, false},
		{"none", userstate.List{}, false},
	} {
		if got := upToDate(c.r, events, sequence); got != c.want {
			t.Errorf("recommendations %s: up to date is %v, want %v", c.name, got, c.want)
		}
	}
}

func TestSequencesAreTheNewestEventsSorted(t *testing.T) {
	var events []event.Event
	for i := range sessions.DefaultWindow + 10 {
		n := (i * 37) % (sessions.DefaultWindow + 10)
		events = append(events, event.Event{User: "u", Time: time.UnixMilli(int64(n))})
	}
	of := sequences(events)["u"]
	if len(of) != sessions.DefaultWindow || of[0].Time.UnixMilli() != 10 || !slices.IsSortedFunc(of, func(a, b event.Event) int { return a.Time.Compare(b.Time) }) {
		t.Errorf("got %d events from %v on, want the %d newest sorted", len(of), of[0].Time.UnixMilli(), sessions.DefaultWindow)
	}
}
