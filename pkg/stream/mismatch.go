package stream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/saslhandshake"
)

// Errors of a cluster that is reached in another way than it expects. Remedy says what to do.
var (
	errPlainText = errors.New("the broker does not use TLS at this port")
	errTLS       = errors.New("the broker expects TLS at this port")
	errLogin     = errors.New("the broker expects a login at this port")
)

// Reach connects to the cluster once, and says why it cannot.
func Reach(ctx context.Context, cluster Cluster) error {
	client, done := cluster.freshClient()
	defer done()
	attemptCtx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if _, err := client.Metadata(attemptCtx, &kafka.MetadataRequest{Topics: []string{}}); err != nil {
		return fmt.Errorf("connect to Kafka %v: %w", cluster, cluster.explain(ctx, err))
	}
	return nil
}

// probeTimeout bounds asking a broker what it speaks.
const probeTimeout = 2 * time.Second

// explain adds to err that TLS or the login is to blame, if one is: a broker ends a connection
// without a word where they are not what it expects, or waits for the rest of a request. Answers
// and brokers that are down have other causes, and so has whatever may pass: a service goes on
// waiting for it.
func (c Cluster) explain(ctx context.Context, err error) error {
	var (
		answer    kafka.Error
		operation *net.OpError
	)
	if errors.As(err, &answer) || errors.As(err, &operation) && operation.Op == "dial" {
		return err
	}
	for _, broker := range c.Brokers {
		switch {
		case c.TLS != nil && answersPlainText(ctx, broker):
			return fmt.Errorf("%w: %w", errPlainText, err)
		case c.TLS == nil && speaksTLS(ctx, broker):
			return fmt.Errorf("%w: %w", errTLS, err)
		case c.SASL == nil && c.expectsLogin(ctx, broker):
			return fmt.Errorf("%w: %w", errLogin, err)
		}
	}
	return err
}

// answersPlainText asks for what a broker tells everybody.
func answersPlainText(ctx context.Context, broker string) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	conn, err := (&kafka.Dialer{}).DialContext(ctx, "tcp", broker)
	if err != nil {
		return false
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	_, err = conn.ApiVersions()
	return err == nil
}

func speaksTLS(ctx context.Context, broker string) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	// Nothing is sent over this connection, so that it matters not whose the certificate is.
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
	conn, err := dialer.DialContext(ctx, "tcp", broker)
	if err == nil {
		conn.Close()
	}
	var alert tls.AlertError
	return err == nil || errors.As(err, &alert)
}

// expectsLogin begins a login, which a broker accepts, or names the mechanisms that it has. One
// without logins at the port refuses.
func (c Cluster) expectsLogin(ctx context.Context, broker string) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var (
		dialer net.Dialer
		conn   net.Conn
		err    error
	)
	if c.TLS == nil {
		conn, err = dialer.DialContext(ctx, "tcp", broker)
	} else {
		conn, err = (&tls.Dialer{Config: c.TLS}).DialContext(ctx, "tcp", broker)
	}
	if err != nil {
		return false
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	login := protocol.NewConn(conn, "")
	login.SetVersions(map[protocol.ApiKey]int16{protocol.SaslHandshake: 1})
	response, err := login.RoundTrip(&saslhandshake.Request{Mechanism: "PLAIN"})
	if err != nil {
		return false
	}
	answer, ok := response.(*saslhandshake.Response)
	return ok && (answer.ErrorCode == 0 || len(answer.Mechanisms) > 0)
}
