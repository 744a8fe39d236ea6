package recs_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/event"
	"genrec/pkg/recs"
	"genrec/pkg/userstate"
	"genrec/sessions"
)

// shop is a Redis with users and item metadata.
type shop struct {
	testing.TB
	rdb    *redis.Client
	store  *sessions.Store
	client *recs.Client
}

func newShop(t testing.TB) shop {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: embeddedtest.StartRedis(t), ContextTimeoutEnabled: true})
	t.Cleanup(func() { rdb.Close() })
	store, err := sessions.Open(t.Context(), rdb, sessions.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return shop{t, rdb, store, recs.New(rdb, recs.Options{})}
}

// saw appends events with the items to a user's sequence.
func (s shop) saw(user string, items ...string) {
	s.Helper()
	batch := sessions.UserEvents{User: user}
	for i, item := range items {
		batch.Events = append(batch.Events, event.Event{ID: item, User: user, Item: item, Type: "view", Time: time.UnixMilli(int64(1_750_000_000_000 + i))})
	}
	if _, err := s.store.Append(s.Context(), []sessions.UserEvents{batch}); err != nil {
		s.Fatal(err)
	}
}

// recommends writes a user's list, or the popular items if user is empty.
func (s shop) recommends(user string, items ...string) {
	s.Helper()
	l := recs.List{RecID: "r-" + user, User: user, ModelVersion: "v1", SequenceVersion: 1, Source: recs.SourceModel, GeneratedAt: time.UnixMilli(1_750_000_000_000).UTC()}
	for i, item := range items {
		l.Items = append(l.Items, recs.ScoredItem{Item: item, Score: 1 / float64(i+1)})
	}
	var err error
	if user == "" {
		err = s.store.PutPopular(s.Context(), l)
	} else {
		_, err = s.store.PutLists(s.Context(), []recs.List{l})
	}
	if err != nil {
		s.Fatal(err)
	}
}

// similar writes the similar items of an item.
func (s shop) similar(item string, others ...string) {
	s.Helper()
	var similar userstate.SimilarItems
	for i, other := range others {
		similar = append(similar, recs.ScoredItem{Item: other, Score: 1 / float64(i+1)})
	}
	value, err := similar.Encode()
	if err != nil {
		s.Fatal(err)
	}
	s.do("HSET", "genrec:near", item, value)
}

// do executes a Redis command.
func (s shop) do(command ...any) {
	s.Helper()
	if err := s.rdb.Do(s.Context(), command...).Err(); err != nil {
		s.Fatal(err)
	}
}

func (s shop) read(q recs.Query, users ...string) []recs.Answer {
	s.Helper()
	answers, err := s.client.Read(s.Context(), users, q)
	if err != nil {
		s.Fatal(err)
	}
	return answers
}

// shown writes an answer as "model: a b | popular: c".
func shown(a recs.Answer) string {
	text, source := a.Source+":", a.Source
	for _, item := range a.Items {
		if item.Source != source {
			source = item.Source
			text += " | " + source + ":"
		}
		text += " " + item.Item
	}
	return text
}

func TestReadFiltersEveryPath(t *testing.T) {
	s := newShop(t)
	s.saw("ann", "hat", "m2")
	s.saw("eve", "p1", "p4")
	s.saw("kim", "hat", "coat", "scarf")
	s.similar("coat", "c1", "scarf", "m1", "m4", "c2")
	s.similar("scarf", "c2", "p1", "m3")
	s.recommends("ann", "m1", "m2", "m3", "m4", "m5")
	s.recommends("", "p1", "m1", "p2", "p3", "p4")
	s.do("SADD", "genrec:blocked", "m1", "p3")
	s.do("SADD", "genrec:unavailable", "m4")
	s.do("HSET", "genrec:categories", "m2", "shoes", "m3", "shoes|men", "m5", "shoes", "p1", "men", "p2", "shoes", "p4", "shoes|hats")

	for _, test := range []struct {
		name, user string
		query      recs.Query
		want       string
	}{
		{"own list, then popular items", "ann", recs.Query{}, "model: m2 m3 m5 | popular: p1 p2 p4"},
		{"no more than wanted", "ann", recs.Query{N: 2}, "model: m2 m3"},
		{"no list", "bob", recs.Query{N: 2}, "popular: p1 p2"},
		{"no list, but a sequence", "kim", recs.Query{}, "context: c2 c1 p1 m3 | popular: p2 p4"},
		{"similar items, filtered", "kim", recs.Query{N: 2, Exclude: []string{"c2"}, Categories: []string{"shoes", "men"}}, "context: p1 m3"},
		{"similar items, one of each category", "kim", recs.Query{PerCategory: 1, Categories: []string{"shoes", "men"}}, "context: p1 | popular: p2"},
		{"excluded", "ann", recs.Query{N: 3, Exclude: []string{"m3", "p1"}}, "model: m2 m5 | popular: p2"},
		{"excluded from the popular items", "bob", recs.Query{N: 3, Exclude: []string{"p1"}}, "popular: p2 p4"},
		{"seen", "ann", recs.Query{N: 3, ExcludeSeen: true}, "model: m3 m5 | popular: p1"},
		{"seen of the popular items", "eve", recs.Query{ExcludeSeen: true}, "popular: p2"},
		{"categories", "ann", recs.Query{Categories: []string{"men", "hats"}}, "model: m3 | popular: p1 p4"},
		{"a category only of popular items", "ann", recs.Query{Categories: []string{"hats"}}, "popular: p4"},
		{"a category without items", "ann", recs.Query{Categories: []string{"cars"}}, "none:"},
		{"one of each category", "ann", recs.Query{PerCategory: 1}, "model: m2 | popular: p1"},
		{"two of each category", "ann", recs.Query{PerCategory: 2}, "model: m2 m3 | popular: p1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := shown(s.read(test.query, test.user)[0]); got != test.want {
				t.Errorf("%+v for %s: got %q, want %q", test.query, test.user, got, test.want)
			}
		})
	}
	// The limit per category does not apply to items without categories.
	s.do("DEL", "genrec:categories")
	fresh := recs.New(s.rdb, recs.Options{})
	answers, err := fresh.Read(t.Context(), []string{"ann"}, recs.Query{N: 3, PerCategory: 1})
	if err != nil || shown(answers[0]) != "model: m2 m3 m5" {
		t.Errorf("got %+v, error %v; want all items", answers, err)
	}
}

func TestAnswerHasItsSource(t *testing.T) {
	s := newShop(t)
	s.saw("ann", "hat")
	if got := s.read(recs.Query{}, "ann")[0]; got.Source != recs.SourceNone || got.User != "ann" || got.Items == nil {
		t.Errorf("got %+v, want source none and an empty list", got)
	}
	s.recommends("ann", "m1")
	s.recommends("", "p1")
	answers := s.read(recs.Query{}, "bob", "ann", "bob")
	if len(answers) != 3 || answers[0].RecID != "r-" || answers[0].User != "bob" || answers[0].SequenceVersion != 1 ||
		answers[1].RecID != "r-ann" || answers[1].Source != recs.SourceModel || answers[1].ModelVersion != "v1" || answers[2].User != "bob" {
		t.Errorf("got %+v, want those of bob, ann and bob", answers)
	}
	// Nothing is left of ann's list.
	if got := s.read(recs.Query{Exclude: []string{"m1"}}, "ann")[0]; got.RecID != "r-" || got.Source != recs.SourcePopular {
		t.Errorf("got %+v, want the popular items", got)
	}
}

func TestCacheExpires(t *testing.T) {
	s := newShop(t)
	s.recommends("", "p1", "p2")
	s.client = recs.New(s.rdb, recs.Options{CacheFor: 50 * time.Millisecond})
	if got := shown(s.read(recs.Query{}, "ann")[0]); got != "popular: p1 p2" {
		t.Fatalf("got %q", got)
	}
	s.do("SADD", "genrec:unavailable", "p1")
	s.recommends("", "p1", "p2", "p3")
	embeddedtest.Eventually(t, func() string {
		if got := shown(s.read(recs.Query{}, "ann")[0]); got != "popular: p2 p3" {
			return fmt.Sprintf("got %q, want the new items without the unavailable one", got)
		}
		return ""
	})
}

func TestUnreadableListFallsBack(t *testing.T) {
	s := newShop(t)
	s.recommends("", "p1")
	s.do("SET", "genrec:recs:{ann}", "{")
	if got := shown(s.read(recs.Query{}, "ann")[0]); got != "popular: p1" {
		t.Errorf("got %q, want the popular items", got)
	}
	if _, err := s.client.List(t.Context(), "ann"); err == nil || !strings.Contains(err.Error(), `decode the recommendations of user "ann"`) {
		t.Errorf("error %v, want one that names the user", err)
	}
}

func TestUnreadableContextFallsBack(t *testing.T) {
	s := newShop(t)
	s.recommends("", "p1")
	s.saw("ann", "hat")
	s.do("HSET", "genrec:near", "hat", "{")
	s.do("SET", "genrec:seq:{bob}", "short")
	for _, user := range []string{"ann", "bob"} {
		if got := shown(s.read(recs.Query{}, user)[0]); got != "popular: p1" {
			t.Errorf("%s got %q, want the popular items", user, got)
		}
	}
	s.do("SET", "genrec:near", "no hash")
	fresh := recs.New(s.rdb, recs.Options{})
	if _, err := fresh.Read(t.Context(), []string{"ann"}, recs.Query{}); err == nil || !strings.Contains(err.Error(), "the key genrec:near has the wrong type") {
		t.Errorf("error %v, want one that names the key", err)
	}
}

func TestErrorsNameTheCause(t *testing.T) {
	s := newShop(t)
	s.saw("ann", "hat")
	s.recommends("", "p1")
	for _, test := range []struct {
		want    string
		query   recs.Query
		command []any
	}{
		{"n is 101", recs.Query{N: 101}, nil},
		{"n is -1", recs.Query{N: -1}, nil},
		{"diversity is -1", recs.Query{PerCategory: -1}, nil},
		{"exclude has 201", recs.Query{Exclude: make([]string, 201)}, nil},
		{"category has 51", recs.Query{Categories: make([]string, 51)}, nil},
		{"the key genrec:blocked has the wrong type", recs.Query{}, []any{"SET", "genrec:blocked", "p1"}},
	} {
		if test.command != nil {
			s.do(test.command...)
		}
		if _, err := s.client.Read(t.Context(), []string{"ann"}, test.query); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error %v, want one with %q", err, test.want)
		}
	}
	s.rdb.Close()
	if _, err := s.client.Read(t.Context(), []string{"ann"}, recs.Query{}); !errors.Is(err, redis.ErrClosed) {
		t.Errorf("error %v, want redis.ErrClosed", err)
	}
}

// A user with an unreadable sequence is treated like one without, and hidden items stay hidden.
func TestUnreadableSequence(t *testing.T) {
	s := newShop(t)
	for _, user := range []string{"ann", "bob", "cid"} {
		s.saw(user, "m1", "m2")
		s.recommends(user, "m1", "m3", "m4")
	}
	s.do("SADD", "genrec:blocked", "m4")
	s.recommends("", "p1")
	s.do("SET", "genrec:seq:{ann}", "short")
	s.do("DEL", "genrec:seq:{cid}")
	s.do("HSET", "genrec:seq:{cid}", "field", "value")
	answers := s.read(recs.Query{ExcludeSeen: true}, "bob", "ann", "cid")
	for i, want := range []string{"model: m3 | popular: p1", "model: m1 m3 | popular: p1", "model: m1 m3 | popular: p1"} {
		if got := shown(answers[i]); got != want {
			t.Errorf("%s got %q, want %q", answers[i].User, got, want)
		}
	}
}

// Any answer obeys all filters, has no repetitions, keeps the order of the lists, and is complete
// unless it is full.
func TestRandomQueries(t *testing.T) {
	s := newShop(t)
	random := rand.New(rand.NewPCG(1, 2))
	ids := make([]string, 30)
	hidden, categories := make(map[string]bool), make(map[string][]string)
	for i := range ids {
		ids[i] = fmt.Sprint("i", i)
		if random.IntN(5) == 0 {
			hidden[ids[i]] = true
			s.do("SADD", []string{"genrec:blocked", "genrec:unavailable"}[random.IntN(2)], ids[i])
		}
		for c := range 3 {
			if random.IntN(3) == 0 {
				categories[ids[i]] = append(categories[ids[i]], fmt.Sprint("c", c))
			}
		}
		if c := categories[ids[i]]; c != nil {
			s.do("HSET", "genrec:categories", ids[i], strings.Join(c, "|"))
		}
	}
	pick := func(most int) []string {
		var some []string
		for _, at := range random.Perm(len(ids))[:random.IntN(most+1)] {
			some = append(some, ids[at])
		}
		return some
	}
	popular, similar := pick(20), pick(20)
	s.recommends("", popular...)
	s.similar("other", similar...)
	for round := range 300 {
		user := fmt.Sprint("u", round)
		seen, own := append(pick(5), "other"), pick(20)
		s.saw(user, seen...)
		s.recommends(user, own...)
		q := recs.Query{N: 1 + random.IntN(12), Exclude: pick(4), ExcludeSeen: random.IntN(2) == 0, PerCategory: random.IntN(4)}
		if random.IntN(3) == 0 {
			q.Categories = []string{"c0", "c2"}[:1+random.IntN(2)]
		}
		var want []string
		of := make(map[string]int)
		context := slices.DeleteFunc(slices.Clone(similar), func(id string) bool { return slices.Contains(seen, id) })
		for _, id := range slices.Concat(own, context, popular) {
			allowed := len(q.Categories) == 0
			full := false
			for _, c := range categories[id] {
				allowed = allowed || slices.Contains(q.Categories, c)
				full = full || q.PerCategory > 0 && of[c] == q.PerCategory
			}
			if len(want) == q.N || hidden[id] || !allowed || full || slices.Contains(q.Exclude, id) || slices.Contains(want, id) ||
				q.ExcludeSeen && slices.Contains(seen, id) {
				continue
			}
			want = append(want, id)
			for _, c := range categories[id] {
				of[c]++
			}
		}
		var got []string
		for _, item := range s.read(q, user)[0].Items {
			got = append(got, item.Item)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("round %d, %+v: got %v, want %v of %v, %v and %v", round, q, got, want, own, context, popular)
		}
	}
}
