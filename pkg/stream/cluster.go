// Package stream is the Kafka client of genrec: connections, topics and permissions, consumer
// groups, the producer, and the messages that are not interaction events (refreshes and dead
// letters).
//
// Consume joins a consumer group and calls a function for each assigned partition; the function
// fetches from and commits to its Partition until a rebalance ends its context. Publish writes
// messages until they are acknowledged, and returns those that Kafka never accepts as a
// RejectedError, so that one bad message cannot stop a service. Messages that cannot be
// processed become dead letters with a reason, which can be listed, replayed and erased.
//
// A broker's CPU time goes to requests rather than to the partitions in them. Fetch, produce and
// commit requests of several partitions are therefore merged (mergingTransport, commitBatcher).
//
// Topics are identified by their topic id, so that one that was deleted and created again is not
// read from the offsets that were committed for its predecessor (Consume, TopicWatcher).
//
// The data path uses kafka-go. franz-go serves topic metadata alone, because kafka-go does not
// return topic ids.
package stream

import (
	"crypto/tls"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
	kgosasl "github.com/twmb/franz-go/pkg/sasl"
	kgoplain "github.com/twmb/franz-go/pkg/sasl/plain"
	kgoscram "github.com/twmb/franz-go/pkg/sasl/scram"
)

// Cluster is a Kafka cluster and the credentials to connect to it.
type Cluster struct {
	Brokers []string       // bootstrap brokers, HOST:PORT
	TLS     *tls.Config    // nil: plaintext
	SASL    sasl.Mechanism // nil: no authentication; see NewSASL
}

// dialTimeout bounds connecting, including the TLS and SASL handshakes.
const dialTimeout = 10 * time.Second

// Dialer returns a dialer for single connections to brokers.
func (c Cluster) Dialer() *kafka.Dialer {
	return &kafka.Dialer{Timeout: dialTimeout, DualStack: true, TLS: c.TLS, SASLMechanism: c.SASL}
}

// NewTransport returns a connection pool for clients and writers to share. The caller
// must call its CloseIdleConnections.
func (c Cluster) NewTransport() *kafka.Transport {
	return &kafka.Transport{DialTimeout: dialTimeout, TLS: c.TLS, SASL: c.SASL}
}

// transport returns the process-wide connection pool for these credentials: kafka-go's writers do
// not close their connections, and a pool for each call would repeat the TLS and SASL handshakes.
// Metadata is cached for up to 6 s.
func (c Cluster) transport() kafka.RoundTripper {
	if c.TLS == nil && c.SASL == nil {
		return plaintextTransport
	}
	if t := reflect.TypeOf(c.SASL); t != nil && !t.Comparable() {
		return c.NewTransport() // not from NewSASL
	}
	shared, _ := transports.LoadOrStore(credentials{c.TLS, c.SASL}, newMergingTransport(c.NewTransport(), nil))
	return shared.(*mergingTransport)
}

var plaintextTransport = newMergingTransport(kafka.DefaultTransport, nil)

type credentials struct {
	tls  *tls.Config
	sasl sasl.Mechanism
}

var transports sync.Map // credentials to *mergingTransport

// client returns a client on the shared connections. It works while any of the brokers is up.
func (c Cluster) client() *kafka.Client {
	return &kafka.Client{Addr: kafka.TCP(c.Brokers...), Transport: c.transport()}
}

// freshClient returns a client with its own connections and an empty metadata cache.
// done closes them.
func (c Cluster) freshClient() (client *kafka.Client, done func()) {
	transport := c.NewTransport()
	return &kafka.Client{Addr: kafka.TCP(c.Brokers...), Transport: transport}, transport.CloseIdleConnections
}

// String returns the brokers and the kinds of encryption and authentication, without secrets.
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

// GoString returns String: fmt's %#v would print the password.
func (c Cluster) GoString() string { return c.String() }

// saslMechanism is a mechanism for both kafka-go and franz-go.
type saslMechanism struct {
	sasl.Mechanism
	user, password string
}

// NewSASL returns the SASL mechanism with a name (in any case): PLAIN, SCRAM-SHA-256 or
// SCRAM-SHA-512. Errors do not contain the password.
func NewSASL(name, user, password string) (sasl.Mechanism, error) {
	switch strings.ToUpper(name) {
	case "PLAIN":
		return saslMechanism{plain.Mechanism{Username: user, Password: password}, user, password}, nil
	case scram.SHA256.Name():
		return newSCRAM(scram.SHA256, user, password)
	case scram.SHA512.Name():
		return newSCRAM(scram.SHA512, user, password)
	}
	return nil, fmt.Errorf("SASL mechanism %q is none of plain, scram-sha-256 and scram-sha-512", name)
}

func newSCRAM(algorithm scram.Algorithm, user, password string) (sasl.Mechanism, error) {
	m, err := scram.Mechanism(algorithm, user, password)
	if err != nil { // err can quote the password
		return nil, fmt.Errorf("user or password has a character that %s does not allow", algorithm.Name())
	}
	return saslMechanism{m, user, password}, nil
}

// String returns the mechanism's name: fmt would print the password.
func (m saslMechanism) String() string { return m.Name() }

// GoString returns the mechanism's name, too.
func (m saslMechanism) GoString() string { return m.Name() }

func (m saslMechanism) forFranz() kgosasl.Mechanism {
	switch m.Name() {
	case scram.SHA256.Name():
		return kgoscram.Auth{User: m.user, Pass: m.password}.AsSha256Mechanism()
	case scram.SHA512.Name():
		return kgoscram.Auth{User: m.user, Pass: m.password}.AsSha512Mechanism()
	}
	return kgoplain.Auth{User: m.user, Pass: m.password}.AsMechanism()
}
