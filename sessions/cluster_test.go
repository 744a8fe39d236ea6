package sessions

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/event"
	"genrec/pkg/userstate"
)

// A batch, a scan and an erasure reach all masters of a Redis Cluster, and no call crosses slots.
func TestCluster(t *testing.T) {
	rdb := startCluster(t, 3)
	s := open(t, rdb, Options{SequenceTTL: time.Hour})
	const users = 500
	batch := make([]UserEvents, users)
	names := make([]string, users)
	recs := make([]userstate.List, users)
	for i := range users {
		names[i] = fmt.Sprint("us}er-", i, "{")
		if i%2 == 0 {
			names[i] = fmt.Sprint("user-", i)
		}
		batch[i] = UserEvents{User: names[i], Events: []event.Event{eventAt(1, "e1"), eventAt(2, "e2")}}
		recs[i] = sample(names[i])
		recs[i].SequenceVersion = 2
	}
	appended, err := s.Append(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range appended {
		if a.User != names[i] || a.Version != 2 {
			t.Fatalf("result %d is %+v, want version 2 of %s", i, a, names[i])
		}
	}
	err = rdb.ForEachMaster(t.Context(), func(ctx context.Context, master *redis.Client) error {
		if n := master.DBSize(ctx).Val(); n < users/10 {
			t.Errorf("%v has %d of %d sequences: the batch was not distributed", master, n, users)
		}
		return master.ScriptFlush(ctx).Err() // as after a failover
	})
	if err != nil {
		t.Fatal(err)
	}
	puts, err := s.PutLists(t.Context(), recs)
	if err != nil {
		t.Fatal(err)
	}
	for i, put := range puts {
		if !put.Written {
			t.Fatalf("the list of %s was not written", names[i])
		}
	}
	if found, err := s.Forget(t.Context(), names[:users/2], erasedAt); err != nil || !found[0] || !found[users/2-1] {
		t.Fatalf("Forget found %v, error %v", found, err)
	}
	if appended, err = s.Append(t.Context(), batch); err != nil || appended[0].Added != 0 {
		t.Fatalf("a replay returned %+v, error %v; want nothing added", appended[0], err)
	}
	seen := make(map[string]int)
	if _, err := s.Scan(t.Context(), func(sequence Sequence) error { seen[sequence.User]++; return nil }); err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		want := 1
		if i < users/2 {
			want = 0
		}
		if seen[name] != want {
			t.Errorf("the scan visits %s %d times, want %d", name, seen[name], want)
		}
	}
	got, err := s.Lists(t.Context(), names)
	if err != nil || got[0].RecID != "" || got[users-1].RecID == "" {
		t.Errorf("the first user has %+v, the last one %+v (error %v), want only the last one to have a list", got[0], got[users-1], err)
	}
	checkDailyHits(t, rdb, true)
	checkScanActive(t, rdb)
	checkUnreadableSequences(t, open(t, rdb, Options{}))
}

// A client for a single Redis, connected to a cluster of one master, falls back to scripts.
func TestClusterWithSingleClient(t *testing.T) {
	var address string
	err := startCluster(t, 1).ForEachMaster(t.Context(), func(_ context.Context, master *redis.Client) error {
		address = master.Options().Addr
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(&redis.Options{Addr: address})
	defer rdb.Close()
	s := open(t, rdb, Options{})
	var batch []UserEvents
	for i := range 10 {
		batch = append(batch, UserEvents{User: fmt.Sprint("user-", i), Events: []event.Event{eventAt(1, "e1")}})
	}
	for range 2 { // the first round finds out that transactions are refused
		appended, err := s.Append(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		if len(appended) != 10 || appended[9].Version != 1 {
			t.Errorf("appended %+v", appended)
		}
	}
}

func startCluster(t *testing.T, masters int) *redis.ClusterClient {
	t.Helper()
	rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: embeddedtest.StartRedisCluster(t, masters), ContextTimeoutEnabled: true})
	t.Cleanup(func() { rdb.Close() })
	return rdb
}
