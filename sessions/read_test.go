package sessions

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"genrec/pkg/userstate"
)

func TestReadReturnsSequenceAndRecommendations(t *testing.T) {
	s := newStore(t, Options{})
	s.mustAppend(t, "ann", eventAt(1, "e1"), eventAt(2, "b0f1c8de-0b8e-4f36-9d6a-5a1d6c0e7f12"))
	list := sample("ann")
	list.SequenceVersion = 1
	s.mustPut(t, list)
	s.mustAppend(t, "bob", eventAt(3, "e1"))
	got, err := s.Read(t.Context(), []string{"bob", "nobody", "ann"})
	if err != nil || len(got) != 3 {
		t.Fatalf("got %d states, error %v", len(got), err)
	}
	for i, user := range []string{"bob", "nobody", "ann"} {
		want := s.sequence(t, user)
		for nth := range want.Interactions {
			want.Interactions[nth].EventID = ""
		}
		if got[i].Err != nil || !reflect.DeepEqual(got[i].Sequence, want) {
			t.Errorf("got %+v, want the sequence %+v", got[i], want)
		}
	}
	if !reflect.DeepEqual(got[2].Stored, list) || got[0].Stored.RecID != "" || got[1].Stored.RecID != "" {
		t.Errorf("got the lists %+v, want only ann's", got)
	}
	if got, err := s.Read(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("no users read as %v, error %v", got, err)
	}
}

// breakSequence replaces a user's sequence by a value of another type, or by text that is no sequence.
func breakSequence(tb testing.TB, s *Store, user string, wrongType bool) {
	tb.Helper()
	key := s.keys.Sequence(user)
	err := s.rdb.Del(tb.Context(), key).Err()
	if err == nil && wrongType {
		err = s.rdb.HSet(tb.Context(), key, "field", "value").Err()
	} else if err == nil {
		err = s.rdb.Set(tb.Context(), key, "what no Store writes, and long enough for a footer", 0).Err()
	}
	if err != nil {
		tb.Fatal(err)
	}
}

// An unreadable sequence fails only its user, and all of them are reported together.
func TestUnreadableSequences(t *testing.T) { checkUnreadableSequences(t, newStore(t, Options{})) }

func checkUnreadableSequences(t *testing.T, s *Store) {
	t.Helper()
	var users, want []string
	for i := range 100 { // enough to be decoded on several cores
		user := fmt.Sprint("user-", i)
		users = append(users, user)
		s.mustAppend(t, user, eventAt(1, "e1"))
		if i%10 == 3 {
			breakSequence(t, s, user, i%20 == 3)
			want = append(want, user)
		}
	}
	unreadable := func(err error) (got []string) {
		var each UserErrors
		if !errors.As(err, &each) {
			t.Fatalf("got error %v, want UserErrors", err)
		}
		for _, e := range each {
			got = append(got, e.User)
		}
		if first := (*UserError)(nil); !errors.As(err, &first) || first.User != got[0] {
			t.Errorf("error %v does not contain that of user %q", err, got[0])
		}
		return got
	}
	states, err := s.Read(t.Context(), users)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, state := range states {
		if state.Err != nil {
			got = append(got, state.Err.User)
		}
		if whole := len(state.Sequence.Interactions) == 1; whole != (state.Err == nil) || state.Sequence.User != users[i] {
			t.Errorf("user %q has state %+v", users[i], state)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("Read reports %q, want %q", got, want)
	}

	sequences, err := s.Sequences(t.Context(), users)
	if got := unreadable(err); !slices.Equal(got, want) {
		t.Errorf("Sequences reports %q, want %q", got, want)
	}
	for i, sequence := range sequences {
		if whole := len(sequence.Interactions) == 1; whole == slices.Contains(want, users[i]) || sequence.User != users[i] {
			t.Errorf("user %q has sequence %+v", users[i], sequence)
		}
	}
}

func TestAppendReportsAllUnreadableSequences(t *testing.T) {
	s := newStore(t, Options{})
	var batch []UserEvents
	for i := range 10 {
		batch = append(batch, UserEvents{User: fmt.Sprint("user-", i), Events: randomEvents(rand.New(rand.NewPCG(1, 2)), 2)})
	}
	breakSequence(t, s, "user-0", false)
	breakSequence(t, s, "user-7", true)
	appended, err := s.Append(t.Context(), batch)
	var each UserErrors
	if !errors.As(err, &each) || len(each) != 2 || each[0].User != "user-0" || each[1].User != "user-7" {
		t.Fatalf("got error %v, want those of user-0 and user-7", err)
	}
	for i, a := range appended {
		if broken := i == 0 || i == 7; broken != (a.Version == 0) || !broken && a.Added != 2 {
			t.Errorf("got %+v", a)
		}
	}
}

// A list of a user with an unreadable sequence is not written; the others are.
func TestPutSkipsUnreadableSequences(t *testing.T) {
	s := newStore(t, Options{})
	for _, user := range []string{"ann", "bob", "cid"} {
		s.at(t, user, 7)
	}
	breakSequence(t, s, "ann", true)
	breakSequence(t, s, "bob", false)
	puts, err := s.PutLists(t.Context(), []userstate.List{sample("ann"), sample("bob"), sample("cid")})
	if want := []Put{{}, {}, {Written: true}}; err != nil || !slices.Equal(puts, want) {
		t.Errorf("got %+v, error %v; want %+v", puts, err, want)
	}
}

func BenchmarkRead(b *testing.B) {
	s := newStore(b, Options{})
	stored := fullSequence(b)
	users := make([]string, 256)
	for i := range users {
		users[i] = fmt.Sprint("user-", i)
		s.at(b, users[i], 7)
		s.mustPut(b, sample(users[i]))
		if err := s.rdb.Set(b.Context(), s.keys.Sequence(users[i]), stored, 0).Err(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Read(b.Context(), users); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(users)*b.N)/b.Elapsed().Seconds(), "users/s")
}

// fullSequence is a stored sequence of a full window, whose event IDs are UUIDs.
func fullSequence(tb testing.TB) (stored string) {
	tb.Helper()
	f := userstate.Footer{Version: DefaultWindow, Count: DefaultWindow}
	for i := range int64(DefaultWindow) {
		e := eventAt(1_700_000_000_000+i, fmt.Sprintf("8c5f7c52-0b8e-4f36-9d6a-%012x", i))
		e.Item = fmt.Sprintf("B%09d", i)
		entry, err := userstate.EncodeEvent(e)
		if err != nil {
			tb.Fatal(err)
		}
		stored += entry.Key + entry.Rest
		f.Newest = entry.Time()
	}
	return stored + f.Encode()
}
