package stream

import (
	"crypto/tls"
	"reflect"
	"strings"
	"sync"
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

// transport returns connections that the process shares among all that use the same
// credentials: kafka-go's writers do not close theirs, and connections of each call would
// cost it the handshakes of TLS and SASL. Metadata is cached for up to 6 s.
func (c Cluster) transport() kafka.RoundTripper {
	if c.TLS == nil && c.SASL == nil {
		return plainText
	}
	if t := reflect.TypeOf(c.SASL); t != nil && !t.Comparable() {
		return c.NewTransport() // none of NewSASL's
	}
	shared, _ := transports.LoadOrStore(credentials{c.TLS, c.SASL}, newMerger(c.NewTransport(), nil))
	return shared.(*merger)
}

// plainText is shared by all that use neither TLS nor SASL.
var plainText = newMerger(kafka.DefaultTransport, nil)

type credentials struct {
	tls  *tls.Config
	sasl sasl.Mechanism
}

var transports sync.Map // by credentials

// client returns a client that uses transport. It reaches the cluster as long as one of the
// brokers answers.
func (c Cluster) client() *kafka.Client {
	return &kafka.Client{Addr: kafka.TCP(c.Brokers...), Transport: c.transport()}
}

// freshClient returns a client like client's with connections and metadata of its own,
// which last until done is called.
func (c Cluster) freshClient() (client *kafka.Client, done func()) {
	transport := c.NewTransport()
	return &kafka.Client{Addr: kafka.TCP(c.Brokers...), Transport: transport}, transport.CloseIdleConnections
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
