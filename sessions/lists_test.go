package sessions

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/recs"
	"genrec/pkg/userstate"
)

func sample(user string) userstate.List {
	return userstate.List{
		RecID: "r-1", User: user, ModelVersion: "m-1", SequenceVersion: 7, Source: userstate.SourceModel,
		GeneratedAt: time.Date(2026, 3, 1, 12, 0, 0, 250_000_000, time.UTC),
		Items:       []userstate.ScoredItem{{Item: "hat", Score: -0.5}, {Item: "shoes", Score: -1.25}},
	}
}

func TestListEncodingIsAPublicContract(t *testing.T) {
	s := newStore(t, Options{})
	r := sample("ann")
	r.GeneratedAt = r.GeneratedAt.Add(123_456).In(time.FixedZone("", 3600))
	s.at(t, "ann", 7)
	if !s.mustPut(t, r) {
		t.Fatal("not written")
	}
	got, err := s.rdb.Get(t.Context(), s.opts.Prefix+":recs:{ann}").Result()
	want := `{"rec_id":"r-1","user_id":"ann","model_version":"m-1","sequence_version":7,` +
		`"generated_at":"2026-03-01T12:00:00.25Z","source":"model",` +
		`"items":[{"item_id":"hat","score":-0.5},{"item_id":"shoes","score":-1.25}]}`
	if err != nil || got != want {
		t.Errorf("got  %s (error %v)\nwant %s\nreaders in other languages depend on it", got, err, want)
	}
}

func TestStaleListIsNotWritten(t *testing.T) {
	for _, test := range []struct {
		name           string
		stored, put    int64
		wantWritten    bool
		overwriteModel string
	}{
		{"newer sequence", 7, 8, true, "m-1"},
		{"same sequence, new model", 7, 7, true, "m-2"},
		{"older sequence", 7, 6, false, "m-2"},
		{"far older sequence", 10, 9, false, "m-1"}, // not compared as text
		{"large versions", 1<<32 - 1, 1<<32 - 2, false, "m-1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newStore(t, Options{})
			stored, put := sample("ann"), sample("ann")
			stored.SequenceVersion, put.SequenceVersion = test.stored, test.put
			put.RecID, put.ModelVersion = "r-2", test.overwriteModel
			s.at(t, "ann", max(test.stored, test.put))
			if !s.mustPut(t, stored) {
				t.Fatal("the first list was not written")
			}
			if got := s.mustPut(t, put); got != test.wantWritten {
				t.Errorf("written: %t, want %t", got, test.wantWritten)
			}
			want := stored
			if test.wantWritten {
				want = put
			}
			if got, err := s.List(t.Context(), "ann"); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, error %v; want %+v", got, err, want)
			}
		})
	}
}

// A list of an expired sequence is replaced, although the new sequence restarts at version 1.
func TestListOfExpiredSequenceIsNotWritten(t *testing.T) {
	s := newStore(t, Options{})
	if s.mustPut(t, sample("ann")) {
		t.Error("a list was written for a user without a sequence")
	}
	s.at(t, "ann", 7)
	s.mustPut(t, sample("ann"))
	s.at(t, "ann", 1)
	fresh := sample("ann")
	fresh.SequenceVersion = 1
	if !s.mustPut(t, fresh) {
		t.Error("the list of the new sequence was rejected because the version of the old one was higher")
	}
	if s.mustPut(t, sample("ann")) {
		t.Error("the list of the old sequence was written again")
	}
}

func TestPutListsReturnsResultsInOrder(t *testing.T) {
	s := newStore(t, Options{})
	old := sample("bob")
	old.SequenceVersion--
	for _, user := range []string{"ann", "bob", "cid"} {
		s.at(t, user, 7)
	}
	s.mustPut(t, sample("bob"))
	newer := sample("ann")
	newer.RecID = "newer"
	puts, err := s.PutLists(t.Context(), []userstate.List{sample("ann"), old, sample("cid"), newer})
	want := []Put{{Written: true}, {}, {Written: true}, {Written: true, Replaced: sample("ann").RecID}}
	if err != nil || !reflect.DeepEqual(puts, want) {
		t.Fatalf("got %+v, error %v; want %+v", puts, err, want)
	}
	s.mustPut(t, sample("ann"))
	got, err := s.Lists(t.Context(), []string{"cid", "nobody", "bob"})
	if want := []userstate.List{sample("cid"), {}, sample("bob")}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, error %v; want %+v", got, err, want)
	}
}

func TestPopularItemsAreTheFallback(t *testing.T) {
	s := newStore(t, Options{})
	if _, err := s.List(t.Context(), "ann"); !errors.Is(err, recs.ErrNotFound) {
		t.Fatalf("got error %v, want recs.ErrNotFound", err)
	}
	popular := userstate.List{RecID: "p-1", ModelVersion: "m-1", Items: []userstate.ScoredItem{{Item: "socks", Score: 3}}}
	if err := s.PutPopular(t.Context(), popular); err != nil {
		t.Fatal(err)
	}
	got, err := s.List(t.Context(), "ann")
	want := popular
	want.User, want.Source = "ann", userstate.SourcePopular
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, error %v; want %+v", got, err, want)
	}
	if own, err := s.Lists(t.Context(), []string{"ann"}); err != nil || own[0].RecID != "" {
		t.Errorf("got %+v, error %v; want no list of the user's own", own, err)
	}

	s.at(t, "ann", 7)
	s.mustPut(t, sample("ann"))
	if got, err := s.List(t.Context(), "ann"); err != nil || got.Source != userstate.SourceModel {
		t.Errorf("got %+v, error %v; want the user's own", got, err)
	}
}

func TestListsExpire(t *testing.T) {
	for _, test := range []struct{ ttl, min, max time.Duration }{
		{ttl: 0, min: -1, max: -1}, // Redis: no expiry
		{ttl: time.Hour, min: 59 * time.Minute, max: time.Hour},
	} {
		s := newStore(t, Options{RecommendationsTTL: test.ttl})
		s.at(t, "ann", 7)
		s.mustPut(t, sample("ann"))
		got, err := s.rdb.PTTL(t.Context(), s.keys.List("ann")).Result()
		if err != nil || got < test.min || got > test.max {
			t.Errorf("with TTL %v, the list expires in %v (error %v), want %v to %v", test.ttl, got, err, test.min, test.max)
		}
	}
}

func TestUnreadableListIsReplaced(t *testing.T) {
	for _, garbage := range []string{"", "{", "null", "7", `"text"`, `{"sequence_version": "many"}`, `{"sequence_version": {}}`} {
		s := newStore(t, Options{})
		if err := s.rdb.Set(t.Context(), s.keys.List("ann"), garbage, redis.KeepTTL).Err(); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Lists(t.Context(), []string{"ann"}); err != nil || got[0].RecID != "" {
			t.Errorf("%q is decoded as %+v, error %v; want no list", garbage, got, err)
		}
		s.at(t, "ann", 7)
		if !s.mustPut(t, sample("ann")) {
			t.Errorf("%q was not replaced", garbage)
		}
	}
}

func TestEmptyItemsAreAnArray(t *testing.T) {
	s := newStore(t, Options{})
	s.mustPut(t, userstate.List{User: "ann"})
	got, err := s.List(t.Context(), "ann")
	if err != nil || got.Items == nil {
		t.Errorf("got items %#v, error %v; want an empty array, not null", got.Items, err)
	}
}

func TestScoresMustBeFinite(t *testing.T) {
	s := newStore(t, Options{})
	r := sample("ann")
	r.Items[0].Score = math.NaN()
	if _, err := s.PutLists(t.Context(), []userstate.List{r}); err == nil {
		t.Error("a NaN score was accepted, which JSON cannot represent")
	}
}

// put.lua matches a list's first fields with a pattern, and decodes it if they contain escapes or
// another program wrote it.
func TestStoredListsAreReadInAnyForm(t *testing.T) {
	for _, user := range []string{"ann", `a"b`, `a\b`, "<ann>", "Zoë", `","sequence_version":99,"`} {
		s := newStore(t, Options{})
		s.at(t, user, 7)
		r := sample(user)
		s.mustPut(t, r)
		value, err := s.rdb.Get(t.Context(), s.keys.List(user)).Result()
		if err != nil {
			t.Fatal(err)
		}
		for name, stored := range map[string]string{
			"as it is written": value,
			"with blanks":      strings.ReplaceAll(value, `":`, `" : `),
			"truncated":        value[:len(value)-1],
		} {
			if err := s.rdb.Set(t.Context(), s.keys.List(user), stored, 0).Err(); err != nil {
				t.Fatal(err)
			}
			readable := name != "truncated"
			older := r
			older.RecID, older.SequenceVersion = "older", r.SequenceVersion-1
			puts, err := s.PutLists(t.Context(), []userstate.List{older})
			if err != nil || puts[0].Written == readable {
				t.Errorf("user %q, list %s: an older list is written: %t (error %v)", user, name, puts[0].Written, err)
			}
			if !readable {
				continue
			}
			again := r
			again.RecID = "again"
			if puts, err = s.PutLists(t.Context(), []userstate.List{again}); err != nil || puts[0] != (Put{Written: true, Replaced: r.RecID}) {
				t.Errorf("user %q, list %s: got %+v (error %v), want the rec_id of the replaced list", user, name, puts, err)
			}
		}
	}
}
