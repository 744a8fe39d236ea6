package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"genrec/pkg/event"
	"genrec/pkg/stream"
	"genrec/pkg/userstate"
	"genrec/sessions"
)

// differences counts deviations from the expected state.
type differences struct{ lost, duplicated, misordered, stale, unexplained int }

// compare compares Redis and the dead letters with the events.
func (env *environment) compare(ctx context.Context, l *load) (found differences, err error) {
	expected := sequences(l.sent)
	var users []string
	for user := range expected {
		users = append(users, user)
	}
	slices.Sort(users)
	actual, err := env.store.Sequences(ctx, users)
	if err != nil {
		return found, err
	}
	recommended, err := env.store.Lists(ctx, users)
	if err != nil {
		return found, err
	}
	for i, user := range users {
		found.compareSequence(expected[user], actual[i])
		if !upToDate(recommended[i], expected[user], actual[i]) {
			found.stale++
		}
	}
	return found, env.compareDeadLetters(ctx, l, &found)
}

// sequences returns the expected sequences: the newest events of each user, sorted by time.
func sequences(events []event.Event) map[string][]event.Event {
	of := make(map[string][]event.Event)
	for _, e := range events {
		of[e.User] = append(of[e.User], e)
	}
	for user, all := range of {
		slices.SortFunc(all, func(a, b event.Event) int { return cmp.Compare(a.Time.UnixMilli(), b.Time.UnixMilli()) })
		of[user] = all[max(0, len(all)-sessions.DefaultWindow):]
	}
	return of
}

func (f *differences) compareSequence(want []event.Event, got sessions.Sequence) {
	times := make(map[string]int)
	for _, in := range got.Interactions {
		times[in.EventID]++
	}
	for _, e := range want {
		if times[e.ID] == 0 {
			f.lost++
		}
	}
	for _, n := range times {
		f.duplicated += n - 1
	}
	same := slices.EqualFunc(want, got.Interactions, func(e event.Event, in userstate.Interaction) bool {
		return e.ID == in.EventID && e.Item == in.Item && e.Type == in.Type && e.Time.Equal(in.Time)
	})
	if !same {
		f.misordered++
	}
}

// upToDate reports whether a user's recommendations were generated from the sequence.
func upToDate(r userstate.List, want []event.Event, got sessions.Sequence) bool {
	items := make([]string, len(want))
	for i, e := range want {
		items[i] = e.Item
	}
	return r.SequenceVersion == got.Version && slices.Equal(r.Items, echoOf(items))
}

func (env *environment) compareDeadLetters(ctx context.Context, l *load, found *differences) error {
	deadLettered := make(map[string]bool)
	foreign, err := stream.ScanDeadLetters(ctx, env.cluster, env.topics.DeadLetters, stream.Earliest, func(d stream.DeadLetter) error {
		value := string(d.Original.Value)
		if _, invalid := l.invalid[value]; invalid {
			deadLettered[value] = true
		} else {
			found.unexplained++
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the dead letters: %w", err)
	}
	found.unexplained += foreign
	found.lost += len(l.invalid) - len(deadLettered)
	return nil
}
