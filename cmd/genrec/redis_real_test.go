package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/segmentio/kafka-go"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/stream"
	"genrec/pkg/testservers"
	"genrec/pkg/userstate"
	"genrec/sessions"
)

// Every command works with a Redis Cluster given the address of one node, as a user with the
// documented permissions.
func TestRedisClusterByOneAddress(t *testing.T) {
	embeddedtest.NeedRedisServer(t)
	for _, masters := range []int{1, 3} {
		t.Run(fmt.Sprint(masters), func(t *testing.T) {
			cluster, err := testservers.StartRedisCluster(t.Context(), testservers.RedisClusterConfig{Folder: t.TempDir(), Masters: masters})
			if err != nil {
				t.Fatal(err)
			}
			defer cluster.Close()
			for _, address := range cluster.Addresses() {
				allowDocumented(t, address)
			}
			useRedisCluster(t, cluster.Addresses()[masters-1], masters)
		})
	}
}

// allowDocumented adds a user with the permissions in docs/SECURITY.md.
func allowDocumented(t *testing.T, address string) {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: address})
	defer rdb.Close()
	line := []any{"ACL", "SETUSER", "genrec", "on", ">" + goodPassword}
	for _, rule := range strings.Fields(documentedRules(t)) {
		line = append(line, rule)
	}
	if err := rdb.Do(t.Context(), line...).Err(); err != nil {
		t.Fatal(err)
	}
}

func useRedisCluster(t *testing.T, address string, masters int) {
	t.Helper()
	const users = 60
	kafkaCluster := embeddedKafka(t)
	t.Setenv("GENREC_REDIS_PASSWORD", goodPassword)
	flags := []string{"--redis", address, "--redis-user", "genrec"}
	withKafka := append([]string{"--kafka", kafkaCluster.Brokers[0]}, flags...)

	if out, err := runCommand(t, append([]string{"config", "check"}, withKafka...)...); err != nil {
		t.Errorf("config check: %v\n%s", err, out)
	}
	found := findings(t, append([]string{"doctor", "--json", "--models", t.TempDir()}, withKafka...))
	if f := found["Redis"]; !f.OK || f.Unchecked || !strings.Contains(f.Text, fmt.Sprintf("a Redis Cluster (masters: %d)", masters)) {
		t.Errorf("doctor reports %+v", f)
	}
	var rows strings.Builder
	rows.WriteString("user_id,item_id,timestamp\n")
	for i := range users {
		fmt.Fprintf(&rows, "user-%d,item-%d,2026-03-01\n", i, i)
	}
	file := filepath.Join(t.TempDir(), "events.csv")
	if err := os.WriteFile(file, []byte(rows.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := runCommand(t, append(append([]string{"import"}, withKafka...), file)...)
	if err != nil || !strings.Contains(out, fmt.Sprintf("appended=%d", users)) {
		t.Errorf("import: %v\n%s", err, out)
	}
	ingestOne(t, kafkaCluster, withKafka, address)
	serveFrom(t, flags, address)
	if out, err := runCommand(t, append([]string{"recommend", "--user", "user-1"}, flags...)...); err != nil || !strings.Contains(out, "apple") {
		t.Errorf("recommend: %v\n%s", err, out)
	}
}

// ingestOne ingests an event.
func ingestOne(t *testing.T, cluster stream.Cluster, flags []string, address string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- newApp().Run(ctx, append([]string{"genrec", "ingest"}, flags...)) }()
	w := stream.NewWriter(cluster, stream.DefaultTopics().Interactions)
	defer w.Close()
	event := `{"event_id": "1", "user_id": "ann", "item_id": "apple", "timestamp": 1750000000000}`
	if err := w.WriteMessages(t.Context(), kafka.Message{Key: []byte("ann"), Value: []byte(event)}); err != nil {
		t.Fatal(err)
	}
	store := clusterStore(t, address)
	embeddedtest.Eventually(t, func() string {
		if sequences, err := store.Sequences(t.Context(), []string{"ann"}); err != nil || len(sequences[0].Interactions) != 1 {
			return fmt.Sprintf("the event did not arrive in Redis (error %v)", err)
		}
		return ""
	})
	stop()
	if err := <-done; err != nil {
		t.Errorf("ingest ended with %v", err)
	}
}

func clusterStore(t *testing.T, address string) *sessions.Store {
	t.Helper()
	rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{address}})
	t.Cleanup(func() { rdb.Close() })
	store, err := sessions.Open(t.Context(), rdb, sessions.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// serveFrom requests the recommendations of users in all hash slots.
func serveFrom(t *testing.T, flags []string, address string) {
	t.Helper()
	list := userstate.List{ModelVersion: "v1", GeneratedAt: time.Now(), Items: []userstate.ScoredItem{{Item: "apple", Score: 1}}}
	if err := clusterStore(t, address).PutPopular(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	listen := freeAddress(t)
	go func() { done <- newApp().Run(ctx, append([]string{"genrec", "serve", "--listen", listen}, flags...)) }()
	embeddedtest.Eventually(t, func() string {
		if status, body := httpGet(t, "http://"+listen+"/readyz"); status != http.StatusOK {
			return fmt.Sprintf("/readyz answers %d: %s", status, body)
		}
		return ""
	})
	for i := range 20 {
		if status, body := httpGet(t, fmt.Sprintf("http://%s/v1/users/user-%d/recommendations", listen, i)); status != http.StatusOK || !strings.Contains(body, "apple") {
			t.Errorf("user %d gets %d: %s", i, status, body)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("serve ended with %v", err)
	}
}

func httpGet(t *testing.T, url string) (status int, body string) {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// doctor uses Redis as the services do, with their permissions, and reports what it may not inspect.
func TestDoctorUsesRedisAsServicesDo(t *testing.T) {
	embeddedtest.NeedRedisServer(t)
	master := embeddedtest.StartRedisServer(t, testservers.RedisConfig{})
	documented := documentedRules(t)
	without := func(rules ...string) []testservers.ACLUser {
		left := documented
		for _, rule := range rules {
			left = strings.ReplaceAll(left, " "+rule, "")
		}
		return []testservers.ACLUser{{Name: "genrec", Password: goodPassword, Rules: left}}
	}
	t.Setenv("GENREC_REDIS_PASSWORD", goodPassword)
	for name, c := range map[string]struct {
		cfg   testservers.RedisConfig
		redis string // in a finding on Redis; "": all are OK
		hint  string
		clock string // in the finding on the clock, if it is unchecked
	}{
		"documented permissions": {cfg: testservers.RedisConfig{Users: without()}},
		"no CONFIG":              {cfg: testservers.RedisConfig{Users: without(), Lines: []string{`rename-command CONFIG ""`}}},
		"no INFO and no TIME":    {testservers.RedisConfig{Users: without("+info", "+time")}, "not checked: eviction of keys", "+info", "not compared"},
		"INFO disabled":          {testservers.RedisConfig{Users: without(), Lines: []string{`rename-command INFO ""`}}, "not checked: eviction of keys", "", ""},
		"no transactions":        {testservers.RedisConfig{Users: without("+@transaction")}, "transactions are not permitted", "+@transaction", ""},
		"no scripts":             {testservers.RedisConfig{Users: without("+@scripting")}, "NOPERM", "docs/SECURITY.md", ""},
		"no writes":              {testservers.RedisConfig{Users: without("+@write")}, "The user executing the script can't", "docs/SECURITY.md", ""},
		"a replica":              {testservers.RedisConfig{Users: without(), Lines: []string{"replicaof " + strings.ReplaceAll(master, ":", " ")}}, "READONLY", "connect to the master", ""},
		"no memory":              {testservers.RedisConfig{Users: without(), Lines: []string{"maxmemory 1mb"}}, "OOM", "maxmemory", ""},
		"a limit that is close":  {testservers.RedisConfig{Users: without(), Lines: []string{"maxmemory 1mb", "maxmemory-policy allkeys-lru"}}, "evicts user sequences", "noeviction", ""},
	} {
		t.Run(name, func(t *testing.T) {
			address := embeddedtest.StartRedisServer(t, c.cfg)
			found := allFindings(t, []string{"doctor", "--json", "--redis", address, "--redis-user", "genrec", "--models", t.TempDir()})
			said := ""
			matches := c.redis == ""
			for _, f := range found["Redis"] {
				said += fmt.Sprintf("\n%+v", f)
				switch {
				case c.redis == "" && (!f.OK || f.Unchecked):
					matches = false
				case c.redis != "" && strings.Contains(f.Text, c.redis) && strings.Contains(f.Hint, c.hint):
					matches = true
				}
			}
			if !matches {
				t.Errorf("Redis:%s\nwant %q and the hint %q", said, c.redis, c.hint)
			}
			for _, f := range found["clock"] {
				if f.Unchecked != (c.clock != "") || !f.OK || !strings.Contains(f.Text, c.clock) {
					t.Errorf("clock: %+v, want %q", f, c.clock)
				}
			}
			if keys := leftKeys(t, address); len(keys) > 0 {
				t.Errorf("the doctor leaves the keys %q", keys)
			}
		})
	}
}

func leftKeys(t *testing.T, address string) []string {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: address, Username: "genrec", Password: goodPassword})
	defer rdb.Close()
	keys, err := rdb.Keys(t.Context(), "*").Result()
	if err != nil && !redis.IsPermissionError(err) {
		t.Fatal(err)
	}
	return keys
}

// TLS to a server without TLS is reported at once.
func TestTLSToAPlainPort(t *testing.T) {
	embeddedtest.NeedRedisServer(t)
	address := embeddedtest.StartRedisServer(t, testservers.RedisConfig{})
	kafkaCluster := embeddedKafka(t)
	for _, line := range []string{
		"export --redis rediss://" + address + " " + filepath.Join(t.TempDir(), "x.jsonl"),
		"serve --listen localhost:0 --redis " + address + " --redis-tls",
		"ingest --redis rediss://" + address + " --kafka " + kafkaCluster.Brokers[0],
		"config check --redis rediss://" + address + " --kafka " + kafkaCluster.Brokers[0],
		"recommend --user ann --redis rediss://" + address,
	} {
		began := time.Now()
		_, err := runCommand(t, strings.Fields(line)...)
		if err == nil || !strings.Contains(err.Error(), "does not use TLS at this port") || time.Since(began) > 5*time.Second {
			t.Errorf("%s: %v after %v", line, err, time.Since(began))
		}
	}
	if f := findings(t, []string{"doctor", "--json", "--redis", "rediss://" + address, "--models", t.TempDir()})["Redis"]; f.OK || !strings.Contains(f.Hint, "connect without TLS") {
		t.Errorf("doctor reports %+v", f)
	}
}
