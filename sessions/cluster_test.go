package sessions

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

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
			t.Fatalf("the recommendations of %s were not written", names[i])
		}
	}
	if found, err := s.Forget(t.Context(), names[:users/2], erasedAt); err != nil || !found[0] || !found[users/2-1] {
		t.Fatalf("Forget found %v, error %v", found, err)
	}
	if appended, err = s.Append(t.Context(), batch); err != nil || appended[0].Added != 0 {
		t.Fatalf("a replay gave %+v, error %v; want nothing added", appended[0], err)
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
	checkOutcomes(t, rdb, true)
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

// startCluster starts a Redis Cluster that is stopped at the end of the test.
func startCluster(t *testing.T, masters int) *redis.ClusterClient {
	t.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("a Redis Cluster needs redis-server, which is not installed: apt install redis-server")
	}
	var addrs []string
	var firstBus string
	for i := range masters {
		addr, bus := startMaster(t, binary)
		node := redis.NewClient(&redis.Options{Addr: addr})
		defer node.Close()
		await(t, addr+" to answer", func() bool { return node.Ping(t.Context()).Err() == nil })
		first, last := i*userstate.HashSlots/masters, (i+1)*userstate.HashSlots/masters-1
		for _, command := range [][]any{
			{"CLUSTER", "SET-CONFIG-EPOCH", i + 1},
			{"CLUSTER", "ADDSLOTSRANGE", first, last},
		} {
			if err := node.Do(t.Context(), command...).Err(); err != nil {
				t.Fatal(err)
			}
		}
		if i == 0 {
			firstBus = bus
		} else {
			host, port, _ := net.SplitHostPort(addrs[0])
			if err := node.Do(t.Context(), "CLUSTER", "MEET", host, port, firstBus).Err(); err != nil {
				t.Fatal(err)
			}
		}
		addrs = append(addrs, addr)
	}
	for _, addr := range addrs {
		node := redis.NewClient(&redis.Options{Addr: addr})
		defer node.Close()
		await(t, addr+" to see the other nodes", func() bool {
			info := node.ClusterInfo(t.Context()).Val()
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprint("cluster_size:", masters))
		})
	}
	rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs, ContextTimeoutEnabled: true})
	t.Cleanup(func() { rdb.Close() })
	return rdb
}

// startMaster returns the address of a node and its cluster bus port.
func startMaster(t *testing.T, binary string) (addr, bus string) {
	t.Helper()
	for range 10 { // another program may take the port in the meantime
		port, bus := freePort(t), freePort(t)
		server := exec.Command(binary, "--port", port, "--bind", "127.0.0.1", "--cluster-enabled", "yes",
			"--cluster-port", bus, "--save", "", "--dir", t.TempDir())
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { _ = server.Wait(); close(ended) }()
		t.Cleanup(func() { _ = server.Process.Kill(); <-ended })
		if addr := net.JoinHostPort("127.0.0.1", port); accepts(addr, ended) {
			return addr, bus
		}
	}
	t.Fatal("redis-server does not start")
	return "", ""
}

// accepts waits until a server accepts connections, and returns false if it ended.
func accepts(addr string, ended <-chan struct{}) bool {
	for {
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			return true
		}
		select {
		case <-ended:
			return false
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return port
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited one minute for %s", what)
		}
	}
}
