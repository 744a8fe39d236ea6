package redisconn

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/tlsfiles"
)

// Permanent reports whether an error recurs until somebody changes the configuration of the
// client or the server.
func Permanent(err error) bool { return permanentHint(err) != "" }

// permanentHint returns a hint for a permanent error, and "" for any other.
func permanentHint(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, ErrPlainText):
		return "connect without TLS (no rediss:// and no --redis-tls), or to the port for TLS"
	case errors.Is(err, ErrTLS):
		return "connect with TLS (rediss:// or --redis-tls)"
	case errors.Is(err, ErrSentinel):
		return "use the address of the Redis that the Sentinel monitors"
	case errors.Is(err, ErrNoCluster):
		return "give only one address"
	case errors.Is(err, ErrNoDatabase):
		return "omit the database number"
	case redis.IsAuthError(err):
		return "check the user and the password"
	case isPermissionError(err):
		return "grant this user read and write access to all keys with the prefix, scripts, and in a Redis Cluster CLUSTER SLOTS: docs/SECURITY.md has the rules"
	}
	return tlsfiles.Hint(err)
}

// isPermissionError also recognizes permissions that a script's commands lack.
func isPermissionError(err error) bool {
	return redis.IsPermissionError(err) || strings.Contains(err.Error(), "-NOPERM") || strings.Contains(err.Error(), "The user executing the script can't")
}

// Hint returns what an operator can do about an error, permanent or not. It is empty for errors
// that need no action, such as a server that is down.
func Hint(err error) string {
	if hint := permanentHint(err); hint != "" || err == nil {
		return hint
	}
	for code, hint := range map[string]string{
		"READONLY":    "connect to the master: this is a read-only replica",
		"OOM":         "raise maxmemory of Redis, or store less",
		"MISCONF":     "fix persistence of Redis: its log has the cause",
		"NOREPLICAS":  "restore the replicas that min-replicas-to-write requires",
		"CLUSTERDOWN": "restore the masters of the cluster: redis-cli cluster info shows the slots without one",
		"MOVED":       "connect to the Redis Cluster through nodes that announce addresses reachable from here",
	} {
		// Redis before 7 puts the error code of a script's command inside the message.
		if redis.HasErrorPrefix(err, code) || strings.Contains(err.Error(), "-"+code+" ") {
			return hint
		}
	}
	return ""
}

const (
	// A server without TLS may take a handshake for the beginning of a command and wait for the
	// rest. After handshakePatience, it is also probed in plain text.
	handshakePatience = time.Second
	handshakeTimeout  = 10 * time.Second
	plainTextTimeout  = 2 * time.Second
)

// handshake connects with TLS once. It returns ErrPlainText if the server does not speak TLS.
func handshake(ctx context.Context, address string, config *tls.Config) error {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	conn, err := dial(ctx, address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if config.ServerName == "" {
		config = config.Clone()
		config.ServerName, _, _ = net.SplitHostPort(address)
	}
	done := make(chan error, 1)
	go func() { done <- tls.Client(conn, config).HandshakeContext(ctx) }()
	select {
	case err = <-done:
		if err == nil {
			return nil
		}
	case <-time.After(handshakePatience):
		if acceptsPlainText(ctx, address) {
			return ErrPlainText
		}
		return <-done
	}
	if acceptsPlainText(ctx, address) {
		return ErrPlainText
	}
	return err
}

// acceptsPlainText reports whether a server replies to an unencrypted command, even with an error.
func acceptsPlainText(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, plainTextTimeout)
	defer cancel()
	conn, err := dial(ctx, address)
	if err != nil {
		return false
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return false
	}
	var first [1]byte
	_, err = conn.Read(first[:])
	return err == nil && (first[0] == '+' || first[0] == '-')
}

// expectsTLS reports whether err, of a command in plain text, is due to a server that speaks TLS.
// Failed dials and error replies have other causes.
func expectsTLS(ctx context.Context, address string, err error) bool {
	var (
		reply     redis.Error
		operation *net.OpError
	)
	if errors.As(err, &reply) || errors.As(err, &operation) && operation.Op == "dial" || ctx.Err() != nil {
		return false
	}
	return tlsfiles.AcceptsTLS(ctx, address)
}

func dial(ctx context.Context, address string) (net.Conn, error) {
	var dialer net.Dialer
	return dialer.DialContext(ctx, "tcp", address)
}
