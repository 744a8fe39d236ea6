package stream

import (
	"crypto/tls"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
)

// Cluster is a Kafka cluster and how to get in.
type Cluster struct {
	Brokers []string       // HOST:PORT of some of them; they name the others
	TLS     *tls.Config    // nil: not encrypted
	SASL    sasl.Mechanism // nil: not authenticated
}

// dialTimeout bounds connecting, with the handshakes of TLS and SASL.
const dialTimeout = 10 * time.Second

// Dialer returns what connects to a broker.
func (c Cluster) Dialer() *kafka.Dialer {
	return &kafka.Dialer{Timeout: dialTimeout, DualStack: true, TLS: c.TLS, SASLMechanism: c.SASL}
}

// NewTransport returns connections for clients and writers to share. They last
// until its CloseIdleConnections.
func (c Cluster) NewTransport() *kafka.Transport {
	return &kafka.Transport{DialTimeout: dialTimeout, TLS: c.TLS, SASL: c.SASL}
}

// transport returns the connections of writers, which do not close their own:
// without secrets, all share those of the process.
func (c Cluster) transport() kafka.RoundTripper {
	if c.TLS == nil && c.SASL == nil {
		return kafka.DefaultTransport
	}
	return c.NewTransport()
}

// String says how the cluster is reached, without secrets.
func (c Cluster) String() string {
	var by []string
	if c.TLS != nil {
		by = append(by, "TLS")
	}
	if c.SASL != nil {
		by = append(by, "SASL "+c.SASL.Name())
	}
	if len(by) == 0 {
		by = append(by, "plain text")
	}
	return strings.Join(c.Brokers, ",") + " (" + strings.Join(by, ", ") + ")"
}

// GoString is String: fmt would show the password.
func (c Cluster) GoString() string { return c.String() }
