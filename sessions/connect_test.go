package sessions

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/event"
	"genrec/pkg/userstate"
)

func TestOtherFormatIsRejected(t *testing.T) {
	rdb := newClient(t)
	store := open(t, rdb, Options{})
	if n := rdb.Exists(t.Context(), store.keys.Format()).Val(); n != 0 {
		t.Fatal("Open recorded the format")
	}
	for range 2 {
		if err := store.ClaimFormat(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(t.Context(), rdb, store.opts); err != nil {
		t.Errorf("Open with its own format: %v", err)
	}
	rdb.Set(t.Context(), store.keys.Format(), userstate.Format+1, 0)
	if _, err := Open(t.Context(), rdb, store.opts); !errors.Is(err, ErrFormat) {
		t.Errorf("Open of data of a later program: error %v, want ErrFormat", err)
	}
	if err := store.ClaimFormat(t.Context()); !errors.Is(err, ErrFormat) {
		t.Errorf("ClaimFormat of data of a later program: error %v, want ErrFormat", err)
	}
	began := time.Now()
	if _, err := Await(t.Context(), slog.New(slog.DiscardHandler), rdb, store.opts); !errors.Is(err, ErrFormat) || time.Since(began) > 5*time.Second {
		t.Errorf("Await: error %v after %v, want ErrFormat at once", err, time.Since(began))
	}
}

func TestAwaitRecordsTheFormat(t *testing.T) {
	rdb := newClient(t)
	store, err := Await(t.Context(), slog.New(slog.DiscardHandler), rdb, Options{Prefix: "services"})
	if err != nil {
		t.Fatal(err)
	}
	if format := rdb.Get(t.Context(), store.keys.Format()).Val(); format != "1" {
		t.Errorf("the recorded format is %q, want 1: increment it when the encoding changes", format)
	}
}

func TestFormatIsRecordedAgain(t *testing.T) {
	store := newStore(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	keep := func() { ended <- store.KeepFormat(ctx, slog.New(slog.DiscardHandler), time.Millisecond) }
	go keep()
	for range 2 { // at the start, and after a data loss
		wait := time.Now().Add(10 * time.Second)
		for store.rdb.Exists(t.Context(), store.keys.Format()).Val() == 0 {
			if time.Now().After(wait) {
				t.Fatal("the format was not recorded")
			}
			time.Sleep(time.Millisecond)
		}
		if err := store.rdb.Del(t.Context(), store.keys.Format()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("KeepFormat: error %v, want none when its context ends", err)
	}
	ctx = t.Context()
	if err := store.rdb.Set(ctx, store.keys.Format(), userstate.Format+1, 0).Err(); err != nil {
		t.Fatal(err)
	}
	go keep()
	if err := <-ended; !errors.Is(err, ErrFormat) {
		t.Errorf("KeepFormat with data of a later program: error %v, want ErrFormat", err)
	}
}

func TestErrorsNameTheAction(t *testing.T) {
	s := newStore(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		want string
		call func() error
	}{
		{"append to the sequences of 1 users", func() error {
			_, err := s.Append(ctx, []UserEvents{{User: "ann", Events: []event.Event{eventAt(1, "e1")}}})
			return err
		}},
		{"read the sequences of 2 users", func() error { _, err := s.Sequences(ctx, []string{"ann", "bob"}); return err }},
		{"scan the sequences", func() error { _, err := s.Scan(ctx, func(Sequence) error { return nil }); return err }},
		{"write the recommendations of 1 users", func() error {
			_, err := s.PutLists(ctx, []userstate.List{{User: "ann"}})
			return err
		}},
		{"read the recommendations of 1 users", func() error { _, err := s.Lists(ctx, []string{"ann"}); return err }},
		{`read the recommendations of user "ann"`, func() error { _, err := s.List(ctx, "ann"); return err }},
		{"write the popular items", func() error { return s.PutPopular(ctx, userstate.List{}) }},
		{"write similar items", func() error { return s.PutSimilar(ctx, maps.All(map[string]userstate.SimilarItems{"hat": nil})) }},
		{"delete the similar items", func() error { return s.PutSimilar(ctx, maps.All(map[string]userstate.SimilarItems{})) }},
	} {
		err := test.call()
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got error %v, want %q and context.Canceled", err, test.want)
		}
	}
}

func TestOpenRejectsInvalidOptions(t *testing.T) {
	rdb := newClient(t)
	for _, o := range []Options{{Prefix: "a{b"}, {Prefix: "}"}, {Window: -1}, {Window: MaxWindow + 1}, {RecommendationsTTL: -1}} {
		if _, err := Open(t.Context(), rdb, o); err == nil {
			t.Errorf("Open accepted %+v", o)
		}
	}
}

func TestOpenFailsWithoutRedis(t *testing.T) {
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
	defer rdb.Close()
	if _, err := Open(t.Context(), rdb, Options{}); err == nil {
		t.Error("Open succeeded without a Redis")
	}
}

// A probe leaves no keys, and scans skip its users.
func TestProbe(t *testing.T) {
	rdb := newClient(t)
	s := open(t, rdb, Options{})
	users := probeUsers()
	if err := s.writeAndRead(t.Context(), users); err != nil {
		t.Fatal(err)
	}
	if sequences, err := s.Sequences(t.Context(), users); err != nil || len(sequences[0].Interactions) != 2 {
		t.Fatalf("the probe wrote %+v (error %v), want two events", sequences[0], err)
	}
	if _, err := s.Scan(t.Context(), func(sequence Sequence) error { t.Errorf("a scan sees %q", sequence.User); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.removeProbe(t.Context(), users, false); err != nil {
		t.Fatal(err)
	}
	if err := s.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if keys := rdb.Keys(t.Context(), "*").Val(); len(keys) > 0 {
		t.Errorf("the probe left %q", keys)
	}
}
