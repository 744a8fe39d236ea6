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

// Settings that do not match the listener are diagnosed, and not retried.
func TestListenerMismatch(t *testing.T) {
	secure, _ := startSecure(t)
	withoutSASL, plain := secure, embeddedtest.StartEmpty(t).Cluster()
	withoutSASL.SASL = nil
	for name, c := range map[string]struct {
		cluster stream.Cluster
		want    string
	}{
		"TLS to a plaintext listener": {stream.Cluster{Brokers: plain.Brokers, TLS: &tls.Config{MinVersion: tls.VersionTLS12}}, "connect without TLS"},
		"plaintext to a TLS listener": {stream.Cluster{Brokers: secure.Brokers}, "connect with TLS"},
		"no login at a SASL listener": {withoutSASL, "log in with"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := stream.CheckConnection(t.Context(), c.cluster); !strings.Contains(stream.Hint(err), c.want) {
				t.Errorf("%v has the hint %q, want %q", err, stream.Hint(err), c.want)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err := stream.AwaitTopics(ctx, quiet, c.cluster, stream.DefaultTopics(), 1)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("AwaitTopics returned %v, want %q", err, c.want)
			}
		})
	}
}

// Kafka reports a login at a listener without SASL; its fake does not.
func TestHintForUnexpectedLogin(t *testing.T) {
	err := fmt.Errorf("connect: %w", kafka.IllegalSASLState)
	if got, want := stream.Hint(err), "leave out --kafka-user"; !strings.Contains(got, want) {
		t.Errorf("%v has the hint %q, want %q", err, got, want)
	}
}

// A cluster that is down, or behind a proxy that closes connections, is retried.
func TestOutageIsNoListenerMismatch(t *testing.T) {
	down := listen(t)
	down.Close()
	closes := listen(t)
	go func() {
		for {
			conn, err := closes.Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadAtLeast(conn, make([]byte, 1), 1)
			conn.Close()
		}
	}()
	for name, address := range map[string]string{"down": down.Addr().String(), "closes connections": closes.Addr().String()} {
		for _, config := range []*tls.Config{nil, {MinVersion: tls.VersionTLS12}} {
			cluster := stream.Cluster{Brokers: []string{address}, TLS: config}
			if err := stream.CheckConnection(t.Context(), cluster); err == nil || stream.Hint(err) != "" {
				t.Errorf("%s, %v: %v has the hint %q, want none", name, cluster, err, stream.Hint(err))
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			err := stream.AwaitTopics(ctx, quiet, cluster, stream.DefaultTopics(), 1)
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s, %v: AwaitTopics returned %v, want it to retry until the deadline", name, cluster, err)
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
