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

	"genrec/pkg/tlsfiles"
)

// Errors about connection settings that do not match the broker's listener. Hint has a fix for
// each.
var (
	errPlaintextListener = errors.New("the broker does not use TLS at this port")
	errTLSListener       = errors.New("the broker expects TLS at this port")
	errSASLListener      = errors.New("the broker expects a login at this port")
)

// CheckConnection connects to the cluster once and returns why it cannot.
func CheckConnection(ctx context.Context, cluster Cluster) error {
	client, done := cluster.freshClient()
	defer done()
	attemptCtx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if _, err := client.Metadata(attemptCtx, &kafka.MetadataRequest{Topics: []string{}}); err != nil {
		return fmt.Errorf("connect to Kafka %v: %w", cluster, cluster.diagnose(ctx, err))
	}
	return nil
}

// Hint returns what an operator can do about an error that no retry resolves, and "" for any
// other error.
func Hint(err error) string {
	switch {
	case errors.Is(err, errPlaintextListener):
		return "connect without TLS (no --kafka-tls, --kafka-ca or --kafka-cert), or to the port for TLS"
	case errors.Is(err, errTLSListener):
		return "connect with TLS (--kafka-tls, and --kafka-ca for a CA that is not one of the system's)"
	case errors.Is(err, errSASLListener):
		return "log in with --kafka-user, --kafka-sasl and a password, or connect to a port without logins"
	case errors.Is(err, kafka.IllegalSASLState):
		return "leave out --kafka-user and --kafka-sasl, or connect to the port for logins"
	case errors.Is(err, kafka.SASLAuthenticationFailed):
		return "check user and password, and that the broker has credentials of that user for this SASL mechanism"
	case errors.Is(err, kafka.UnsupportedSASLMechanism):
		return "choose a SASL mechanism that the broker offers at this port"
	case errors.Is(err, kafka.TopicAuthorizationFailed):
		return "grant this user Describe, Read and Write on its topics, and Create on those that are missing"
	case errors.Is(err, kafka.GroupAuthorizationFailed):
		return "grant this user Read on the consumer group"
	case errors.Is(err, kafka.ClusterAuthorizationFailed):
		return "create the topics for this user, or grant it Create"
	case isTooLarge(err):
		return "raise max.message.bytes of the topic to the value that genrec doctor prints"
	case errors.Is(err, kafka.InvalidTopic):
		return "use only letters, digits, dots, hyphens and underscores in topic names"
	}
	return tlsfiles.Hint(err)
}

// withHint appends the hint for an error, if there is one.
func withHint(err error) error {
	if hint := Hint(err); hint != "" {
		return fmt.Errorf("%w: %s", err, hint)
	}
	return err
}

// probeTimeout bounds one probe of a broker's listener.
const probeTimeout = 2 * time.Second

// diagnose probes the brokers for a TLS or SASL mismatch and wraps err accordingly: a broker
// that gets an unexpected protocol closes the connection without an error, or waits for the rest
// of the request. Error responses and failed dials have other causes and are returned
// unchanged, as are errors that may be transient, so that services retry.
func (c Cluster) diagnose(ctx context.Context, err error) error {
	var (
		response kafka.Error
		network  *net.OpError
	)
	if errors.As(err, &response) || errors.As(err, &network) && network.Op == "dial" {
		return err
	}
	for _, broker := range c.Brokers {
		switch {
		case c.TLS != nil && acceptsPlaintext(ctx, broker):
			return fmt.Errorf("%w: %w", errPlaintextListener, err)
		case c.TLS == nil && tlsfiles.AcceptsTLS(ctx, broker):
			return fmt.Errorf("%w: %w", errTLSListener, err)
		case c.SASL == nil && c.expectsSASL(ctx, broker):
			return fmt.Errorf("%w: %w", errSASLListener, err)
		}
	}
	return err
}

// acceptsPlaintext sends a request that needs no authentication, without TLS.
func acceptsPlaintext(ctx context.Context, broker string) bool {
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

// expectsSASL sends a SASL handshake. A listener with SASL accepts it or returns its mechanisms;
// one without rejects it.
func (c Cluster) expectsSASL(ctx context.Context, broker string) bool {
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
	handshake := protocol.NewConn(conn, "")
	handshake.SetVersions(map[protocol.ApiKey]int16{protocol.SaslHandshake: 1})
	roundTrip, err := handshake.RoundTrip(&saslhandshake.Request{Mechanism: "PLAIN"})
	if err != nil {
		return false
	}
	response, ok := roundTrip.(*saslhandshake.Response)
	return ok && (response.ErrorCode == 0 || len(response.Mechanisms) > 0)
}
