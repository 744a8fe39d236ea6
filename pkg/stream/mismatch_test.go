package stream_test

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

	"github.com/segmentio/kafka-go"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/stream"
)

// A cluster that is reached in another way than it expects says so, and is not waited for.
func TestMismatch(t *testing.T) {
	secure, _ := startSecure(t)
	noLogin, plain := secure, embeddedtest.StartEmpty(t).Cluster()
	noLogin.SASL = nil
	for name, c := range map[string]struct {
		cluster stream.Cluster
		want    string
	}{
		"TLS to a plain port":          {stream.Cluster{Brokers: plain.Brokers, TLS: &tls.Config{MinVersion: tls.VersionTLS12}}, "connect without TLS"},
		"plain text to a port of TLS":  {stream.Cluster{Brokers: secure.Brokers}, "connect with TLS"},
		"no login to a port of logins": {noLogin, "log in with"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := stream.Reach(t.Context(), c.cluster); !strings.Contains(stream.Remedy(err), c.want) {
				t.Errorf("%v has the remedy %q, want %q", err, stream.Remedy(err), c.want)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err := stream.AwaitTopics(ctx, quiet, c.cluster, stream.DefaultTopics(), 1)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("waiting for topics ends with %v, want %q", err, c.want)
			}
		})
	}
}

// Kafka answers a login where it expects none; its fake does not.
func TestLoginToAPortWithout(t *testing.T) {
	err := fmt.Errorf("connect: %w", kafka.IllegalSASLState)
	if got, want := stream.Remedy(err), "leave out --kafka-user"; !strings.Contains(got, want) {
		t.Errorf("%v has the remedy %q, want %q", err, got, want)
	}
}

// A cluster that is down, or behind a proxy that ends connections meanwhile, is waited for.
func TestNoMismatch(t *testing.T) {
	down := listen(t)
	down.Close()
	ends := listen(t)
	go func() {
		for {
			conn, err := ends.Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadAtLeast(conn, make([]byte, 1), 1)
			conn.Close()
		}
	}()
	for name, address := range map[string]string{"down": down.Addr().String(), "ends connections": ends.Addr().String()} {
		for _, config := range []*tls.Config{nil, {MinVersion: tls.VersionTLS12}} {
			cluster := stream.Cluster{Brokers: []string{address}, TLS: config}
			if err := stream.Reach(t.Context(), cluster); err == nil || stream.Remedy(err) != "" {
				t.Errorf("%s, %v: %v has the remedy %q, want none", name, cluster, err, stream.Remedy(err))
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			err := stream.AwaitTopics(ctx, quiet, cluster, stream.DefaultTopics(), 1)
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s, %v: waiting ends with %v, want it to go on", name, cluster, err)
			}
		}
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}
