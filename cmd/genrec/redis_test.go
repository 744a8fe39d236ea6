package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

func TestRedisAddresses(t *testing.T) {
	for _, c := range []struct {
		address string
		cluster bool
		tls     bool
	}{
		{"redis:6379", false, false},
		{" redis:6379\n", false, false},
		{"\trediss://redis:6380 ", false, true},
		{"a:6379, b:6379\n", true, false},
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
			t.Errorf("%s gives a %T", c.address, client)
		}
		for _, address := range options.Addrs {
			if strings.TrimSpace(address) != address {
				t.Errorf("%q: an address is %q", c.address, address)
			}
		}
		if (options.TLSConfig != nil) != c.tls {
			t.Errorf("%s: TLS is %v, want %v", c.address, options.TLSConfig != nil, c.tls)
		}
	}
}

func TestInvalidRedisAddresses(t *testing.T) {
	for address, remedy := range map[string]string{
		"redis://genrec:secret@redis:6379": "GENREC_REDIS_PASSWORD",
		"redis://a:6379,b:6379":            "HOST:PORT,HOST:PORT",
		"http://redis:6379":                "redis://",
	} {
		_, err := redisOptions(address)
		if err == nil || !strings.Contains(err.Error(), remedy) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: error %v, want one with %s and without the secret", address, err, remedy)
		}
	}
}

func TestSpacesAroundSecrets(t *testing.T) {
	const variable = "GENREC_TEST_SECRET"
	for _, text := range []string{"hunter2", "hunter2\n", " hunter2\r\n\n", "\thunter2 "} {
		t.Setenv(variable, text)
		if got, err := readSecret("", variable); err != nil || got != "hunter2" {
			t.Errorf("the variable %q is read as %q (error %v)", text, got, err)
		}
		path := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv(variable, "\n")
		if got, err := readSecret(path, variable); err != nil || got != "hunter2" {
			t.Errorf("the file %q is read as %q (error %v)", text, got, err)
		}
	}
}

// Spaces around broker addresses are ignored.
func TestSpacesAroundKafkaAddresses(t *testing.T) {
	for _, text := range []string{"a:9092, b:9092\n", " a:9092 ,b:9092"} {
		t.Setenv("GENREC_KAFKA", text)
		out, err := runCommand(t, "config")
		if err != nil || !strings.Contains(out, " a:9092,b:9092 ") {
			t.Errorf("%q: error %v, printed\n%s", text, err, out)
		}
	}
}
