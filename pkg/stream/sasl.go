package stream

import (
	"fmt"
	"strings"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
	kgosasl "github.com/twmb/franz-go/pkg/sasl"
	kgoplain "github.com/twmb/franz-go/pkg/sasl/plain"
	kgoscram "github.com/twmb/franz-go/pkg/sasl/scram"
)

// login is a mechanism of NewSASL, for kafka-go and for franz-go.
type login struct {
	sasl.Mechanism
	user, password string
}

// NewSASL returns the mechanism of that name, in upper or lower case: PLAIN,
// SCRAM-SHA-256 or SCRAM-SHA-512.
func NewSASL(name, user, password string) (sasl.Mechanism, error) {
	switch strings.ToUpper(name) {
	case "PLAIN":
		return login{plain.Mechanism{Username: user, Password: password}, user, password}, nil
	case scram.SHA256.Name():
		return newSCRAM(scram.SHA256, user, password)
	case scram.SHA512.Name():
		return newSCRAM(scram.SHA512, user, password)
	}
	return nil, fmt.Errorf("SASL mechanism %q is none of plain, scram-sha-256 and scram-sha-512", name)
}

func newSCRAM(algorithm scram.Algorithm, user, password string) (sasl.Mechanism, error) {
	m, err := scram.Mechanism(algorithm, user, password)
	if err != nil { // its text may quote the password
		return nil, fmt.Errorf("user or password has a character that %s does not allow", algorithm.Name())
	}
	return login{m, user, password}, nil
}

// String hides the password from fmt.
func (l login) String() string { return l.Name() }

// GoString does so, too.
func (l login) GoString() string { return l.Name() }

func (l login) forFranz() kgosasl.Mechanism {
	switch l.Name() {
	case scram.SHA256.Name():
		return kgoscram.Auth{User: l.user, Pass: l.password}.AsSha256Mechanism()
	case scram.SHA512.Name():
		return kgoscram.Auth{User: l.user, Pass: l.password}.AsSha512Mechanism()
	}
	return kgoplain.Auth{User: l.user, Pass: l.password}.AsMechanism()
}
