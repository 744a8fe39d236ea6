package sessions

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/event"
	"genrec/pkg/userstate"
)

func newClient(tb testing.TB) *redis.Client {
	tb.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: embeddedtest.StartRedis(tb), ContextTimeoutEnabled: true})
	tb.Cleanup(func() { rdb.Close() })
	return rdb
}

// open opens a store, with a random prefix unless one is given.
func open(tb testing.TB, rdb redis.UniversalClient, o Options) *Store {
	tb.Helper()
	if o.Prefix == "" {
		o.Prefix = "test-" + rand.Text()
	}
	s, err := Open(tb.Context(), rdb, o)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// newStore returns an empty store.
func newStore(tb testing.TB, o Options) *Store {
	tb.Helper()
	return open(tb, newClient(tb), o)
}

func (s *Store) mustAppend(tb testing.TB, user string, events ...event.Event) Appended {
	tb.Helper()
	appended, err := s.Append(tb.Context(), []UserEvents{{User: user, Events: events}})
	if err != nil {
		tb.Fatal(err)
	}
	return appended[0]
}

func (s *Store) sequence(tb testing.TB, user string) Sequence {
	tb.Helper()
	sequences, err := s.Sequences(tb.Context(), []string{user})
	if err != nil {
		tb.Fatal(err)
	}
	return sequences[0]
}

// at writes a sequence with the given version and one event.
func (s *Store) at(tb testing.TB, user string, version int64) {
	tb.Helper()
	entry, err := userstate.EncodeEvent(eventAt(1, "e1"))
	if err != nil {
		tb.Fatal(err)
	}
	stored := entry.Key + entry.Rest + userstate.Footer{Version: version, Count: 1, Newest: entry.Time()}.Encode()
	if err := s.rdb.Set(tb.Context(), s.keys.Sequence(user), stored, 0).Err(); err != nil {
		tb.Fatal(err)
	}
}

func (s *Store) mustPut(tb testing.TB, r userstate.List) (written bool) {
	tb.Helper()
	puts, err := s.PutLists(tb.Context(), []userstate.List{r})
	if err != nil {
		tb.Fatal(err)
	}
	return puts[0].Written
}

func eventAt(ms int64, id string) event.Event {
	return event.Event{ID: id, Item: "item-of-" + id, Type: event.DefaultType, Time: time.UnixMilli(ms).UTC()}
}
