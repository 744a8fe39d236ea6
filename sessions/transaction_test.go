package sessions

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/event"
	"genrec/pkg/userstate"
)

// counting counts the commands of a client by name, and calls interfere before each transaction.
type counting struct {
	mu        sync.Mutex
	commands  map[string]int
	interfere func()
}

func (c *counting) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (c *counting) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (c *counting) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, commands []redis.Cmder) error {
		c.mu.Lock()
		for _, command := range commands {
			c.commands[command.Name()]++
		}
		interfere := c.interfere
		c.mu.Unlock()
		if last := commands[len(commands)-1].Name(); last == "exec" && interfere != nil {
			interfere()
		}
		return next(ctx, commands)
	}
}

func (c *counting) take() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := c.commands
	c.commands = make(map[string]int)
	return taken
}

func newCounting(rdb *redis.Client) *counting {
	c := &counting{commands: make(map[string]int)}
	rdb.AddHook(c)
	return c
}

// scriptsOnly returns a store that writes with scripts alone.
func scriptsOnly(s *Store) *Store {
	scripts := *s
	scripts.single = nil
	return &scripts
}

// stored returns the keys of a store without their prefix, with their values and whether they expire.
func (s *Store) stored(tb testing.TB) map[string]string {
	tb.Helper()
	keys, err := s.rdb.Keys(tb.Context(), s.opts.Prefix+":*").Result()
	if err != nil {
		tb.Fatal(err)
	}
	all := make(map[string]string)
	for _, key := range keys {
		name := strings.TrimPrefix(key, s.opts.Prefix)
		all[name] = fmt.Sprintf("%q, expires: %v", s.rdb.Get(tb.Context(), key).Val(), s.rdb.PTTL(tb.Context(), key).Val() > 0)
	}
	return all
}

// Transactions and scripts store and return the same.
func TestTransactionsEqualScripts(t *testing.T) {
	for name, o := range map[string]Options{
		"ttl":    {Window: 40, SequenceTTL: time.Hour, RecommendationsTTL: time.Hour},
		"no ttl": {Window: 60},
	} {
		t.Run(name, func(t *testing.T) {
			rdb := newClient(t)
			commands := newCounting(rdb)
			subject, reference := open(t, rdb, o), scriptsOnly(open(t, rdb, o))
			rng := rand.New(rand.NewPCG(1, 2))
			commands.take()
			for round := range 400 {
				subject.compare(t, reference, rng, round)
				if t.Failed() {
					t.Fatalf("in round %d", round)
				}
			}
			if n := commands.take(); n["exec"] < 100 || n["setrange"] < 10 && o.Window == 60 || n["evalsha"] < 1000 {
				t.Errorf("executed %v: some commands are missing", n)
			}
		})
	}
}

// compare performs the same random operation on two stores and compares results and keys.
func (s *Store) compare(t *testing.T, reference *Store, rng *rand.Rand, round int) {
	t.Helper()
	users := make([]string, 1+rng.IntN(3))
	for i := range users {
		users[i] = fmt.Sprint("user-", rng.IntN(6))
	}
	ms := int64(1000 + 10*round)
	both := func(operation string, f func(*Store) (any, error)) {
		t.Helper()
		got, err := f(s)
		want, wantErr := f(reference)
		if fmt.Sprint(got) != fmt.Sprint(want) || fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Errorf("%s: %v, %v; want %v, %v", operation, got, err, want, wantErr)
		}
	}
	switch kind := rng.IntN(100); {
	case kind < 60:
		var batch []UserEvents
		for _, user := range users { // a user may occur twice
			b := UserEvents{User: user}
			for range 1 + rng.IntN(3) {
				at, id := ms+rng.Int64N(5), fmt.Sprint("event-", round, "-", rng.IntN(4))
				if rng.IntN(10) == 0 {
					at, id = ms-rng.Int64N(500), fmt.Sprint("event-", max(0, round-rng.IntN(10)), "-0")
				}
				b.Events = append(b.Events, event.Event{ID: id, User: user, Item: "item", Type: "view", Time: time.UnixMilli(at)})
			}
			batch = append(batch, b)
		}
		both("append", func(s *Store) (any, error) { return s.Append(t.Context(), batch) })
	case kind < 95:
		var lists []userstate.List
		for _, user := range users {
			l := sample(user)
			l.RecID = fmt.Sprint("r-", round)
			l.SequenceVersion = max(0, s.sequence(t, user).Version-rng.Int64N(3)+rng.Int64N(2))
			lists = append(lists, l)
		}
		both("put", func(s *Store) (any, error) { return s.PutLists(t.Context(), lists) })
	case kind < 97:
		both("forget", func(s *Store) (any, error) { return s.Forget(t.Context(), users[:1], time.UnixMilli(ms)) })
	default:
		key := func(s *Store) string { return s.keys.Sequence(users[0]) }
		if kind == 98 {
			key = func(s *Store) string { return s.keys.List(users[0]) }
		}
		both("damage", func(s *Store) (any, error) {
			if kind == 99 {
				return nil, s.rdb.Del(t.Context(), key(s)).Err()
			}
			return nil, s.rdb.Set(t.Context(), key(s), `{"rec_id":"r-1","user_id":"`, 0).Err()
		})
		if kind == 97 { // an unreadable sequence stays so
			both("repair", func(s *Store) (any, error) { return nil, s.rdb.Del(t.Context(), key(s)).Err() })
		}
	}
	if got, want := s.stored(t), reference.stored(t); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("stored %v\nwant   %v", got, want)
	}
}

// A concurrent write between WATCH and EXEC is not lost.
func TestTransactionConflicts(t *testing.T) {
	rdb := newClient(t)
	s := open(t, rdb, Options{})
	other := open(t, redis.NewClient(rdb.Options()), Options{Prefix: s.opts.Prefix})
	defer other.rdb.Close()
	commands := newCounting(rdb)
	interfere := func(f func()) {
		var once sync.Once
		commands.mu.Lock()
		defer commands.mu.Unlock()
		commands.interfere = func() { once.Do(f) }
	}
	s.mustAppend(t, "ann", eventAt(1, "e1"))
	interfere(func() { other.mustAppend(t, "ann", eventAt(2, "e2")) })
	if a := s.mustAppend(t, "ann", eventAt(3, "e3")); a.Version != 3 {
		t.Errorf("version %d after three events", a.Version)
	}
	if n := len(s.sequence(t, "ann").Interactions); n != 3 {
		t.Errorf("the sequence has %d events, want 3", n)
	}

	list := sample("ann")
	list.SequenceVersion = 1
	if !s.mustPut(t, list) {
		t.Fatal("the first list was not written")
	}
	newer := list
	newer.RecID, newer.SequenceVersion = "newer", 3
	interfere(func() { other.mustPut(t, newer) })
	list.SequenceVersion = 2
	if s.mustPut(t, list) {
		t.Error("a list of version 2 replaced one of version 3")
	}

	interfere(func() {
		if _, err := other.Forget(t.Context(), []string{"ann"}, time.UnixMilli(9)); err != nil {
			t.Error(err)
		}
	})
	list.SequenceVersion = 3
	if s.mustPut(t, list) {
		t.Error("a list was written for a forgotten user")
	}
	if list, err := s.Lists(t.Context(), []string{"ann"}); err != nil || list[0].RecID != "" {
		t.Errorf("a forgotten user has %+v, %v", list, err)
	}

	s.mustAppend(t, "bob", eventAt(10, "e10"))
	interfere(func() {
		if _, err := other.Forget(t.Context(), []string{"bob"}, time.UnixMilli(20)); err != nil {
			t.Error(err)
		}
	})
	if a := s.mustAppend(t, "bob", eventAt(15, "e15")); a.Added != 0 {
		t.Errorf("an event from before the erasure was appended: %+v", a)
	}
}

// Concurrent writers lose no events.
func TestConcurrentTransactions(t *testing.T) {
	const writers, rounds, users = 4, 40, 5
	rdb := newClient(t)
	prefix := open(t, rdb, Options{}).opts.Prefix // of all
	var added atomic.Int64
	var running sync.WaitGroup
	for writer := range writers {
		s := open(t, rdb, Options{Prefix: prefix, Window: MaxWindow})
		running.Go(func() {
			for round := range rounds {
				var batch []UserEvents
				for user := range users {
					batch = append(batch, UserEvents{User: fmt.Sprint("user-", user), Events: []event.Event{eventAt(int64(1+round), fmt.Sprint("e-", writer, "-", round))}})
				}
				appended, err := s.Append(t.Context(), batch)
				if err != nil {
					t.Error(err)
					return
				}
				for _, a := range appended {
					added.Add(int64(a.Added))
				}
			}
		})
	}
	running.Wait()
	s := open(t, rdb, Options{Prefix: prefix, Window: MaxWindow})
	for user := range users {
		if q := s.sequence(t, fmt.Sprint("user-", user)); len(q.Interactions) != writers*rounds || q.Version != writers*rounds {
			t.Errorf("user %d has %d events at version %d, want %d", user, len(q.Interactions), q.Version, writers*rounds)
		}
	}
	if added.Load() != writers*rounds*users {
		t.Errorf("%d events were reported as added, want %d", added.Load(), writers*rounds*users)
	}
}

// Without the permission for transactions, scripts write everything.
func TestTransactionsRefused(t *testing.T) {
	rdb := newClient(t)
	s := open(t, rdb, Options{})
	s.mustAppend(t, "ann", eventAt(1, "e1"))
	if err := rdb.Do(t.Context(), "acl", "setuser", "limited", "on", ">secret", "~*", "+@all", "-@transaction").Err(); err != nil {
		t.Skipf("this Redis has no ACL: %v", err)
	}
	options := *rdb.Options()
	options.Username, options.Password = "limited", "secret"
	limited := redis.NewClient(&options)
	defer limited.Close()
	refused := open(t, limited, Options{Prefix: s.opts.Prefix})
	if a := refused.mustAppend(t, "ann", eventAt(2, "e2")); a.Version != 2 {
		t.Errorf("appended %+v", a)
	}
	if refused.optimistic() {
		t.Error("it would try a transaction again")
	}
	if err := refused.AddHits(t.Context(), HitCounts{Version: "v1", Day: "2026-03-01", Interactions: 3, Hits: 1, Users: []uint64{7}}); err != nil {
		t.Error(err)
	}
	if daily, _, err := refused.DailyHits(t.Context(), "v1", []string{"2026-03-01"}); err != nil || len(daily) != 1 || daily[0].Interactions != 3 || daily[0].Users != 1 {
		t.Errorf("the daily hits are %+v (error %v), want each increment once", daily, err)
	}
	if err := refused.Probe(t.Context()); err != nil {
		t.Errorf("Probe: error %v", err)
	}
}

// FuzzExtend compares extend with append.lua.
func FuzzExtend(f *testing.F) {
	f.Add("\x1eid\x1f000000001item\x1fv\x1eid2\x1f000000002item\x1fv0000000200200000000000000002", "id3", int64(3))
	f.Add("\x1eid\x1f000000001item\x1fv0000000100100000000000000001", "id", int64(0))
	f.Add(strings.Repeat("\x1eid\x1f000000001item\x1fv", 80)+"0000005005000000000000001", "new", int64(9))
	rdb := newClient(f)
	s := open(f, rdb, Options{Window: 100})
	scripts := scriptsOnly(s)
	f.Fuzz(func(t *testing.T, sequence, id string, ms int64) {
		e, err := encodeEvents(UserEvents{Events: []event.Event{{ID: id, Item: "item", Type: "view", Time: time.UnixMilli(ms)}}})
		if err != nil || strings.ContainsAny(id, "\x1c\x1e\x1f") {
			t.Skip()
		}
		if _, _, err := userstate.DecodeSequence(sequence, 100); err != nil {
			t.Skip() // append.lua does not expect it
		}
		got, ok := extend(sequence, e, 100)
		if !ok {
			t.Skip()
		}
		ctx, key := t.Context(), s.keys.Sequence("ann")
		if err := rdb.Set(ctx, key, sequence, 0).Err(); err != nil {
			t.Fatal(err)
		}
		if _, err := scripts.Append(ctx, []UserEvents{{User: "ann", Events: []event.Event{{ID: id, Item: "item", Type: "view", Time: time.UnixMilli(ms)}}}}); err != nil {
			t.Fatal(err)
		}
		written := got.text
		if got.offset > 0 {
			written = sequence[:got.offset] + got.text
		}
		if want := rdb.Get(ctx, key).Val(); written != want {
			t.Errorf("%q becomes %q, with append.lua %q", sequence, written, want)
		}
	})
}
