package stream_test

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"

	"genrec/pkg/stream"
)

func TestClusterHidesSecrets(t *testing.T) {
	for _, mechanism := range []string{"plain", "SCRAM-SHA-256", "scram-sha-512"} {
		sasl, err := stream.NewSASL(mechanism, "ann", "hunter2")
		if err != nil {
			t.Fatal(err)
		}
		c := stream.Cluster{Brokers: []string{"a:9092", "b:9092"}, TLS: &tls.Config{}, SASL: sasl}
		want := "a:9092,b:9092 (TLS, SASL " + strings.ToUpper(mechanism) + ")"
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			if got := fmt.Sprintf(verb, c); got != want {
				t.Errorf("%s prints %q, want %q", verb, got, want)
			}
			if got := fmt.Sprintf(verb, struct{ Kafka stream.Cluster }{c}); strings.Contains(got, "hunter2") {
				t.Errorf("%s of a struct prints the password: %s", verb, got)
			}
		}
	}
	if got, want := (stream.Cluster{Brokers: []string{"a:9092"}}).String(), "a:9092 (plain text)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNewSASLErrors(t *testing.T) {
	for _, test := range []struct{ mechanism, password, want string }{
		{"", "hunter2", `""`},
		{"GSSAPI", "hunter2", `"GSSAPI"`},
		{"SCRAM-SHA-256", "hunter2\u0000", "does not allow"}, // prohibited by SASLprep
	} {
		_, err := stream.NewSASL(test.mechanism, "ann", test.password)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("NewSASL(%q) returned %v, want an error with %s and no password", test.mechanism, err, test.want)
		}
	}
}
