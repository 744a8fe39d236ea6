package stream

import (
	"errors"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/tlsfiles"
)

// Remedy says what to do about a refusal that no repetition changes, and is empty
// for any other error.
func Remedy(err error) string {
	switch {
	case errors.Is(err, errPlainText):
		return "connect without TLS (no --kafka-tls, --kafka-ca or --kafka-cert), or to the port for TLS"
	case errors.Is(err, errTLS):
		return "connect with TLS (--kafka-tls, and --kafka-ca for a CA that is not one of the system's)"
	case errors.Is(err, errLogin):
		return "log in with --kafka-user, --kafka-sasl and a password, or connect to a port without logins"
	case errors.Is(err, kafka.IllegalSASLState):
		return "leave out --kafka-user and --kafka-sasl, or connect to the port for logins"
	case errors.Is(err, kafka.SASLAuthenticationFailed):
		return "check the user and the password, and that the broker knows them for this SASL mechanism"
	case errors.Is(err, kafka.UnsupportedSASLMechanism):
		return "choose a SASL mechanism that the broker offers at this port"
	case errors.Is(err, kafka.TopicAuthorizationFailed):
		return "let this user Describe, Read and Write the topics that it uses, and Create those that are missing"
	case errors.Is(err, kafka.GroupAuthorizationFailed):
		return "let this user Read as that consumer group"
	case errors.Is(err, kafka.ClusterAuthorizationFailed):
		return "create the topics for this user, or let it Create them"
	case isTooLarge(err):
		return "raise max.message.bytes of the topic to what genrec doctor says"
	case errors.Is(err, kafka.InvalidTopic):
		return "name the topic by letters, digits, dots, hyphens and underscores"
	}
	return tlsfiles.Hint(err)
}
