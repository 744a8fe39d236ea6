package main

import (
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

func TestRedisAddressesNameOneRedisOrACluster(t *testing.T) {
	for _, c := range []struct {
		address string
		cluster bool
		tls     bool
	}{
		{"redis:6379", false, false},
		{"redis://redis:6379/2", false, false},
		{"rediss://genrec@redis:6380", false, true},
		{"a:6379,b:6379,c:6379", true, false},
	} {
		options, err := redisOptions(c.address)
		if err != nil {
			t.Errorf("%s: %v", c.address, err)
			continue
		}
		client := redis.NewUniversalClient(options)
		defer client.Close()
		if _, isCluster := client.(*redis.ClusterClient); isCluster != c.cluster {
			t.Errorf("%s is taken for a %T", c.address, client)
		}
		if (options.TLSConfig != nil) != c.tls {
			t.Errorf("%s: TLS is %v, want %v", c.address, options.TLSConfig != nil, c.tls)
		}
	}
}

func TestRedisAddressesThatAreRefused(t *testing.T) {
	for address, remedy := range map[string]string{
		"redis://genrec:secret@redis:6379": "GENREC_REDIS_PASSWORD",
		"redis://a:6379,b:6379":            "HOST:PORT,HOST:PORT",
		"http://redis:6379":                "redis://",
	} {
		_, err := redisOptions(address)
		if err == nil || !strings.Contains(err.Error(), remedy) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: error %v, want one that tells of %s and no secret", address, err, remedy)
		}
	}
}
