package serve

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/event"
	"genrec/pkg/recs"
	"genrec/pkg/userstate"
	"genrec/sessions"
)

const (
	eventsEach = 20
	listLength = 20
	categories = 40
	atOnce     = 500
)

func userID(i int) string { return fmt.Sprintf("user-%07d", i) }
func itemID(i int) string { return fmt.Sprintf("B%09d", i) }

// fill writes events and a recommendation list for each user, and the items' properties: each has a
// category, one in 50 is unavailable and one in 500 blocked.
func (s settings) fill(ctx context.Context, address string) error {
	rdb := redis.NewClient(&redis.Options{Addr: address, ContextTimeoutEnabled: true, ReadTimeout: time.Minute})
	defer rdb.Close()
	store, err := sessions.Open(ctx, rdb, sessions.Options{})
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(1, 2))
	keys := userstate.Keys{Prefix: recs.DefaultPrefix}
	pipe := rdb.Pipeline()
	for i := range s.items {
		pipe.HSet(ctx, keys.Categories(), itemID(i), "category-"+strconv.Itoa(random.IntN(categories)))
		if i%50 == 7 {
			pipe.SAdd(ctx, keys.Unavailable(), itemID(i))
		}
		if i%500 == 9 {
			pipe.SAdd(ctx, keys.Blocked(), itemID(i))
		}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return err
	}
	if err := store.PutPopular(ctx, s.list(random, "")); err != nil {
		return err
	}
	for first := 0; first < s.users; first += atOnce {
		if err := s.fillUsers(ctx, store, random, first, min(atOnce, s.users-first)); err != nil {
			return err
		}
	}
	return nil
}

func (s settings) fillUsers(ctx context.Context, store *sessions.Store, random *rand.Rand, first, n int) error {
	events, lists := make([]sessions.UserEvents, n), make([]recs.List, n)
	for i := range n {
		user := userID(first + i)
		events[i].User = user
		for k := range eventsEach {
			events[i].Events = append(events[i].Events, event.Event{
				ID: fmt.Sprintf("%d-%d", first+i, k), User: user, Item: itemID(random.IntN(s.items)), Type: event.DefaultType,
				Time: time.UnixMilli(1_700_000_000_000 + int64(k)*time.Hour.Milliseconds()),
			})
		}
		lists[i] = s.list(random, user)
	}
	if _, err := store.Append(ctx, events); err != nil {
		return err
	}
	puts, err := store.PutLists(ctx, lists)
	if err == nil && !puts[0].Written {
		err = fmt.Errorf("the list of %s was not written", lists[0].User)
	}
	return err
}

func (s settings) list(random *rand.Rand, user string) recs.List {
	l := recs.List{
		RecID: strings.Repeat("A", 26) + ".v000001", User: user, ModelVersion: "v000001", SequenceVersion: eventsEach,
		GeneratedAt: time.Now(), Source: recs.SourceModel,
	}
	first := random.IntN(s.items) // the stride makes all items distinct
	for i := range listLength {
		item := (first + i*(s.items/listLength)) % s.items
		l.Items = append(l.Items, recs.ScoredItem{Item: itemID(item), Score: random.Float64() / float64(i+1)})
	}
	return l
}
