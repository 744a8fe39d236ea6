package redisconn

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// A server without TLS may take the handshake for the beginning of a command, and wait for
	// the rest. One that takes that long is asked in plain text, too.
	handshakePatience = time.Second
	handshakeTimeout  = 10 * time.Second
	plainTimeout      = 2 * time.Second
)

// handshake connects with TLS once, and tells at once if the server does not speak it.
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
		if answersPlainText(ctx, address) {
			return ErrPlainText
		}
		return <-done
	}
	if answersPlainText(ctx, address) {
		return ErrPlainText
	}
	return err
}

// answersPlainText tells whether a server answers a command that is not encrypted, be it with
// a refusal.
func answersPlainText(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, plainTimeout)
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

// expectsTLS tells whether a server that did not answer a command in plain text does speak
// TLS. Errors before that, and answers, are of other causes.
func expectsTLS(ctx context.Context, address string, err error) bool {
	var (
		answer    redis.Error
		operation *net.OpError
	)
	if errors.As(err, &answer) || errors.As(err, &operation) && operation.Op == "dial" || ctx.Err() != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, plainTimeout)
	defer cancel()
	conn, err := dial(ctx, address)
	if err != nil {
		return false
	}
	defer conn.Close()
	// Nothing is sent over this connection, so that it matters not whose the certificate is.
	err = tls.Client(conn, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(ctx)
	var alert tls.AlertError
	return err == nil || errors.As(err, &alert)
}

func dial(ctx context.Context, address string) (net.Conn, error) {
	var dialer net.Dialer
	return dialer.DialContext(ctx, "tcp", address)
}
