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

// shop is a Redis with users and what a shop tells of its items.
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

// saw appends to a user's sequence.
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

// recommends gives a user a list, or everybody the popular items.
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

// near tells what is popular near an item.
func (s shop) near(item string, others ...string) {
	s.Helper()
	var near userstate.SimilarItems
	for i, other := range others {
		near = append(near, recs.ScoredItem{Item: other, Score: 1 / float64(i+1)})
	}
	value, err := near.Encode()
	if err != nil {
		s.Fatal(err)
	}
	s.tells("HSET", "genrec:near", item, value)
}

func (s shop) tells(command ...any) {
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
	s.near("coat", "c1", "scarf", "m1", "m4", "c2")
	s.near("scarf", "c2", "p1", "m3")
	s.recommends("ann", "m1", "m2", "m3", "m4", "m5")
	s.recommends("", "p1", "m1", "p2", "p3", "p4")
	s.tells("SADD", "genrec:blocked", "m1", "p3")
	s.tells("SADD", "genrec:unavailable", "m4")
	s.tells("HSET", "genrec:categories", "m2", "shoes", "m3", "shoes|men", "m5", "shoes", "p1", "men", "p2", "shoes", "p4", "shoes|hats")

	for _, test := range []struct {
		name, user string
		query      recs.Query
		want       string
	}{
		{"own list, then popular items", "ann", recs.Query{}, "model: m2 m3 m5 | popular: p1 p2 p4"},
		{"no more than wanted", "ann", recs.Query{N: 2}, "model: m2 m3"},
		{"a stranger", "bob", recs.Query{N: 2}, "popular: p1 p2"},
		{"no list, but newest items", "kim", recs.Query{}, "context: c2 c1 p1 m3 | popular: p2 p4"},
		{"newest items, filtered", "kim", recs.Query{N: 2, Exclude: []string{"c2"}, Categories: []string{"shoes", "men"}}, "context: p1 m3"},
		{"few of a category near newest items", "kim", recs.Query{PerCategory: 1, Categories: []string{"shoes", "men"}}, "context: p1 | popular: p2"},
		{"excluded", "ann", recs.Query{N: 3, Exclude: []string{"m3", "p1"}}, "model: m2 m5 | popular: p2"},
		{"excluded from the popular items", "bob", recs.Query{N: 3, Exclude: []string{"p1"}}, "popular: p2 p4"},
		{"seen", "ann", recs.Query{N: 3, ExcludeSeen: true}, "model: m3 m5 | popular: p1"},
		{"seen of the popular items", "eve", recs.Query{ExcludeSeen: true}, "popular: p2"},
		{"categories", "ann", recs.Query{Categories: []string{"men", "hats"}}, "model: m3 | popular: p1 p4"},
		{"a category of popular items alone", "ann", recs.Query{Categories: []string{"hats"}}, "popular: p4"},
		{"a category that nothing has", "ann", recs.Query{Categories: []string{"cars"}}, "none:"},
		{"one of each category", "ann", recs.Query{PerCategory: 1}, "model: m2 | popular: p1"},
		{"two of each category", "ann", recs.Query{PerCategory: 2}, "model: m2 m3 | popular: p1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := shown(s.read(test.query, test.user)[0]); got != test.want {
				t.Errorf("%+v for %s: got %q, want %q", test.query, test.user, got, test.want)
			}
		})
	}
	// An item without categories is of none, so no bound on categories holds it back.
	s.tells("DEL", "genrec:categories")
	fresh := recs.New(s.rdb, recs.Options{})
	answers, err := fresh.Read(t.Context(), []string{"ann"}, recs.Query{N: 3, PerCategory: 1})
	if err != nil || shown(answers[0]) != "model: m2 m3 m5" {
		t.Errorf("got %+v, error %v; want all items, which have no categories", answers, err)
	}
}

func TestAnswerSaysWhereItComesFrom(t *testing.T) {
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
	// What is left of ann's list is nothing, so the answer is that of the popular items.
	if got := s.read(recs.Query{Exclude: []string{"m1"}}, "ann")[0]; got.RecID != "r-" || got.Source != recs.SourcePopular {
		t.Errorf("got %+v, want the popular items", got)
	}
}

func TestMetadataIsRememberedForAWhile(t *testing.T) {
	s := newShop(t)
	s.recommends("", "p1", "p2")
	s.client = recs.New(s.rdb, recs.Options{CacheFor: 50 * time.Millisecond})
	if got := shown(s.read(recs.Query{}, "ann")[0]); got != "popular: p1 p2" {
		t.Fatalf("got %q", got)
	}
	s.tells("SADD", "genrec:unavailable", "p1")
	s.recommends("", "p1", "p2", "p3")
	embeddedtest.Eventually(t, func() string {
		if got := shown(s.read(recs.Query{}, "ann")[0]); got != "popular: p2 p3" {
			return fmt.Sprintf("got %q, want the new items without those that are gone", got)
		}
		return ""
	})
}

func TestUnreadableListFallsBack(t *testing.T) {
	s := newShop(t)
	s.recommends("", "p1")
	s.tells("SET", "genrec:recs:{ann}", "{")
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
	s.tells("HSET", "genrec:near", "hat", "{")
	s.tells("SET", "genrec:seq:{bob}", "short")
	for _, user := range []string{"ann", "bob"} {
		if got := shown(s.read(recs.Query{}, user)[0]); got != "popular: p1" {
			t.Errorf("%s got %q, want the popular items", user, got)
		}
	}
	s.tells("SET", "genrec:near", "no hash")
	fresh := recs.New(s.rdb, recs.Options{})
	if _, err := fresh.Read(t.Context(), []string{"ann"}, recs.Query{}); err == nil || !strings.Contains(err.Error(), "the key genrec:near: see docs/REDIS.md") {
		t.Errorf("error %v, want one that names the key", err)
	}
}

func TestErrorsNameWhatIsWrong(t *testing.T) {
	s := newShop(t)
	s.saw("ann", "hat")
	s.recommends("", "p1")
	for _, test := range []struct {
		want  string
		query recs.Query
		spoil []any
	}{
		{"n is 101", recs.Query{N: 101}, nil},
		{"n is -1", recs.Query{N: -1}, nil},
		{"diversity is -1", recs.Query{PerCategory: -1}, nil},
		{"exclude names 201", recs.Query{Exclude: make([]string, 201)}, nil},
		{"category names 51", recs.Query{Categories: make([]string, 51)}, nil},
		{"the key genrec:blocked: see docs/REDIS.md", recs.Query{}, []any{"SET", "genrec:blocked", "p1"}},
	} {
		if test.spoil != nil {
			s.tells(test.spoil...)
		}
		if _, err := s.client.Read(t.Context(), []string{"ann"}, test.query); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error %v, want one with %q", err, test.want)
		}
	}
	s.rdb.Close()
	if _, err := s.client.Read(t.Context(), []string{"ann"}, recs.Query{}); !errors.Is(err, redis.ErrClosed) {
		t.Errorf("error %v, want that of the client", err)
	}
}

// An unreadable sequence fails nobody: its user is answered as one without a sequence, and
// what the shop hides stays hidden.
func TestUnreadableSequence(t *testing.T) {
	s := newShop(t)
	for _, user := range []string{"ann", "bob", "cid"} {
		s.saw(user, "m1", "m2")
		s.recommends(user, "m1", "m3", "m4")
	}
	s.tells("SADD", "genrec:blocked", "m4")
	s.recommends("", "p1")
	s.tells("SET", "genrec:seq:{ann}", "short")
	s.tells("DEL", "genrec:seq:{cid}")
	s.tells("HSET", "genrec:seq:{cid}", "field", "value")
	answers := s.read(recs.Query{ExcludeSeen: true}, "bob", "ann", "cid")
	for i, want := range []string{"model: m3 | popular: p1", "model: m1 m3 | popular: p1", "model: m1 m3 | popular: p1"} {
		if got := shown(answers[i]); got != want {
			t.Errorf("%s got %q, want %q", answers[i].User, got, want)
		}
	}
}

// Whatever is asked for, an answer breaks no filter, repeats nothing, and keeps the order
// of the lists; and it leaves out nothing that passes, unless it is full.
func TestAnyAnswerObeysItsQuery(t *testing.T) {
	s := newShop(t)
	random := rand.New(rand.NewPCG(1, 2))
	ids := make([]string, 30)
	hidden, categories := make(map[string]bool), make(map[string][]string)
	for i := range ids {
		ids[i] = fmt.Sprint("i", i)
		if random.IntN(5) == 0 {
			hidden[ids[i]] = true
			s.tells("SADD", []string{"genrec:blocked", "genrec:unavailable"}[random.IntN(2)], ids[i])
		}
		for c := range 3 {
			if random.IntN(3) == 0 {
				categories[ids[i]] = append(categories[ids[i]], fmt.Sprint("c", c))
			}
		}
		if c := categories[ids[i]]; c != nil {
			s.tells("HSET", "genrec:categories", ids[i], strings.Join(c, "|"))
		}
	}
	pick := func(most int) []string {
		var some []string
		for _, at := range random.Perm(len(ids))[:random.IntN(most+1)] {
			some = append(some, ids[at])
		}
		return some
	}
	popular, near := pick(20), pick(20)
	s.recommends("", popular...)
	s.near("other", near...)
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
		context := slices.DeleteFunc(slices.Clone(near), func(id string) bool { return slices.Contains(seen, id) })
		for _, id := range slices.Concat(own, context, popular) {
			allowed := len(q.Categories) == 0
			crowded := false
			for _, c := range categories[id] {
				allowed = allowed || slices.Contains(q.Categories, c)
				crowded = crowded || q.PerCategory > 0 && of[c] == q.PerCategory
			}
			if len(want) == q.N || hidden[id] || !allowed || crowded || slices.Contains(q.Exclude, id) || slices.Contains(want, id) ||
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
