package serve_test

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/event"
	"genrec/pkg/recs"
	"genrec/sessions"
)

func TestMain(m *testing.M) { embeddedtest.Main(m) }

// newReader returns a client for a Redis in which ann has a list and has seen m1, kim has no list
// and has seen a hat, and popular and similar items exist.
func newReader(t testing.TB) (*recs.Client, *redis.Client) {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: embeddedtest.StartRedis(t), ContextTimeoutEnabled: true, MaxRetries: -1})
	t.Cleanup(func() { rdb.Close() })
	fill(t, rdb)
	return recs.New(rdb, recs.Options{}), rdb
}

func fill(t testing.TB, rdb *redis.Client) {
	t.Helper()
	store, err := sessions.Open(t.Context(), rdb, sessions.Options{})
	if err != nil {
		t.Fatal(err)
	}
	at := time.UnixMilli(1_750_000_000_000).UTC()
	_, err = store.Append(t.Context(), []sessions.UserEvents{{User: "ann", Events: []event.Event{{ID: "1", User: "ann", Item: "m1", Type: "view", Time: at}}}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.Append(t.Context(), []sessions.UserEvents{{User: "kim", Events: []event.Event{{ID: "2", User: "kim", Item: "hat", Type: "view", Time: at}}}})
	if err != nil {
		t.Fatal(err)
	}
	puts, err := store.PutLists(t.Context(), []recs.List{{
		RecID: "r1.v2", User: "ann", ModelVersion: "v2", SequenceVersion: 1, GeneratedAt: at, Source: recs.SourceModel,
		Items: []recs.ScoredItem{{Item: "m1", Score: .5}, {Item: "m2", Score: .25}, {Item: "m3", Score: .125}},
	}})
	if err != nil || !puts[0].Written {
		t.Fatalf("put %v, error %v", puts, err)
	}
	err = store.PutPopular(t.Context(), recs.List{RecID: "p1", ModelVersion: "v2", GeneratedAt: at, Items: []recs.ScoredItem{{Item: "p1", Score: 9}, {Item: "p2", Score: 8}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"SADD genrec:blocked m2", "SADD genrec:unavailable p2", `HSET genrec:near hat [{"item_id":"m2","score":0.5},{"item_id":"p1","score":0.25},{"item_id":"c1","score":0.125}]`, "HSET genrec:categories m1 shoes m3 shoes p1 hats|shoes"} {
		var words []any
		for word := range strings.FieldsSeq(command) {
			words = append(words, word)
		}
		if err := rdb.Do(t.Context(), words...).Err(); err != nil {
			t.Fatal(err)
		}
	}
}
