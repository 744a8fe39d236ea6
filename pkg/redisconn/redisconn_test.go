package redisconn_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/redisconn"
	"genrec/pkg/testservers"
)

func options(addresses ...string) *redis.UniversalOptions {
	return &redis.UniversalOptions{Addrs: addresses, ContextTimeoutEnabled: true}
}

// writeAndRead uses keys of many slots: in single commands, a pipeline and a script.
func writeAndRead(t *testing.T, client redis.UniversalClient) {
	t.Helper()
	script := redis.NewScript("return redis.call('INCR', KEYS[1])")
	if err := script.Load(t.Context(), client).Err(); err != nil {
		t.Fatal(err)
	}
	const keys = 100
	pipe := client.Pipeline()
	for i := range keys {
		key := fmt.Sprint("key-", i)
		if err := client.Set(t.Context(), key, i, 0).Err(); err != nil {
			t.Fatal(err)
		}
		script.EvalSha(t.Context(), pipe, []string{key})
	}
	replies, err := pipe.Exec(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, reply := range replies {
		if n, _ := reply.(*redis.Cmd).Int(); n != i+1 {
			t.Errorf("key %d is %d, want %d", i, n, i+1)
		}
	}
}

// One address is enough for a single Redis and for a cluster.
func TestConnectDetectsClusters(t *testing.T) {
	one, small, large := embeddedtest.StartRedisServer(t, testservers.RedisConfig{}), embeddedtest.StartRedisCluster(t, 1), embeddedtest.StartRedisCluster(t, 3)
	for name, c := range map[string]struct {
		addresses []string
		masters   int // 0: no cluster
	}{
		"single Redis":                       {[]string{one}, 0},
		"embedded":                           {[]string{miniredis.RunT(t).Addr()}, 0},
		"a cluster of one":                   {small, 1},
		"one node of a cluster":              {large[1:2], 3},
		"all nodes of a cluster":             {large, 3},
		"a node that is down, and two nodes": {append([]string{"127.0.0.1:1"}, large[:2]...), 3},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := redisconn.Connect(t.Context(), options(c.addresses...))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			_, isCluster := client.(*redis.ClusterClient)
			masters, err := redisconn.Masters(t.Context(), client)
			if isCluster != (c.masters > 0) || err != nil || len(masters) != max(c.masters, 1) {
				t.Errorf("cluster: %v, with %d masters (error %v), want %d", isCluster, len(masters), err, c.masters)
			}
			writeAndRead(t, client)
		})
	}
}

// A lazy client can be created before its server is up.
func TestLazyConnectsLater(t *testing.T) {
	for _, masters := range []int{0, 1, 3} {
		var addresses []string
		if masters == 0 {
			addresses = []string{embeddedtest.StartRedisServer(t, testservers.RedisConfig{})}
		} else {
			addresses = embeddedtest.StartRedisCluster(t, masters)
		}
		door := startDoor(t, addresses[0])
		client := redisconn.Lazy(options(door.address))
		defer client.Close()
		if err := client.Ping(t.Context()).Err(); err == nil {
			t.Fatalf("%d masters: PING succeeded behind a closed port", masters)
		}
		if _, err := client.Pipelined(t.Context(), func(p redis.Pipeliner) error { p.Get(t.Context(), "a"); return nil }); err == nil {
			t.Fatalf("%d masters: a pipeline succeeded behind a closed port", masters)
		}
		door.open(t)
		pipe := client.Pipeline()
		for i := range 100 {
			key := fmt.Sprint("key-", i)
			if err := client.Set(t.Context(), key, i, 0).Err(); err != nil {
				t.Fatalf("%d masters: %v", masters, err)
			}
			pipe.MGet(t.Context(), key)
		}
		replies, err := pipe.Exec(t.Context())
		if err != nil {
			t.Fatalf("%d masters: %v", masters, err)
		}
		for i, reply := range replies {
			if got := reply.(*redis.SliceCmd).Val()[0]; got != fmt.Sprint(i) {
				t.Errorf("%d masters: key %d is %v", masters, i, got)
			}
		}
	}
}

func TestPermanentErrors(t *testing.T) {
	authority, err := testservers.NewAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	issued, err := authority.Issue("server")
	if err != nil {
		t.Fatal(err)
	}
	plain, secret := embeddedtest.StartRedisServer(t, testservers.RedisConfig{}), embeddedtest.StartRedisServer(t, testservers.RedisConfig{Users: []testservers.ACLUser{{Name: "ann", Password: "x", Rules: "+@all"}}})
	encrypted, cluster := embeddedtest.StartRedisServer(t, testservers.RedisConfig{TLS: &issued}), embeddedtest.StartRedisCluster(t, 1)
	another := embeddedtest.StartRedisServer(t, testservers.RedisConfig{})
	withTLS := func(address string) *redis.UniversalOptions {
		o := options(address)
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		return o
	}
	database := options(cluster...)
	database.DB = 2
	for name, c := range map[string]struct {
		options *redis.UniversalOptions
		want    error
	}{
		"TLS to a plain port":                {withTLS(plain), redisconn.ErrPlainText},
		"TLS to a plain port with passwords": {withTLS(secret), redisconn.ErrPlainText},
		"TLS to a cluster's plain port":      {withTLS(cluster[0]), redisconn.ErrPlainText},
		"plain text to a port for TLS":       {options(encrypted), redisconn.ErrTLS},
		"two servers without a cluster":      {options(plain, another), redisconn.ErrNoCluster},
		"a database of a cluster":            {database, redisconn.ErrNoDatabase},
		"no password":                        {options(secret), nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, connect := range []func(context.Context) error{
				func(ctx context.Context) error { _, err := redisconn.Connect(ctx, c.options); return err },
				func(ctx context.Context) error {
					client := redisconn.Lazy(c.options)
					defer client.Close()
					return client.Get(ctx, "a").Err()
				},
			} {
				began := time.Now()
				err := connect(t.Context())
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("the error took %v", took)
				}
				if c.want != nil && !errors.Is(err, c.want) || !redisconn.Permanent(err) || redisconn.Hint(err) == "" {
					t.Errorf("the error is %v with the hint %q, want %v, permanent and with a hint", err, redisconn.Hint(err), c.want)
				}
			}
		})
	}
	if _, err := redisconn.Connect(t.Context(), options("127.0.0.1:1")); err == nil || redisconn.Permanent(err) || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("the error of a server that is down is %v, want one that is not permanent and names the address", err)
	}
}

// door is a port that forwards to a server once it is open.
type door struct{ address, to string }

func startDoor(t *testing.T, to string) door {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return door{address: listener.Addr().String(), to: to}
}

func (d door) open(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", d.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", d.to)
			if err != nil {
				in.Close()
				continue
			}
			go func() { _, _ = io.Copy(out, in); out.Close() }()
			go func() { _, _ = io.Copy(in, out); in.Close() }()
		}
	}()
}
