package tlsfiles_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"genrec/pkg/testservers"
	"genrec/pkg/tlsfiles"
)

// TestHint performs handshakes that succeed and that fail in each way with a hint.
func TestHint(t *testing.T) {
	ours, strangers := issue(t, "ours"), issue(t, "strangers")
	for _, test := range []struct {
		name  string
		files tlsfiles.Files
		host  string
		want  string
	}{
		{"good", tlsfiles.Files{CA: ours.CA, Cert: ours.Cert, Key: ours.Key}, "localhost", ""},
		{"wrong name", tlsfiles.Files{CA: ours.CA, Cert: ours.Cert, Key: ours.Key}, "elsewhere", "connect by a host name"},
		{"wrong CA", tlsfiles.Files{CA: strangers.CA, Cert: ours.Cert, Key: ours.Key}, "localhost", "specify the CA"},
		{"system's CAs", tlsfiles.Files{Cert: ours.Cert, Key: ours.Key}, "localhost", "specify the CA"},
		{"no certificate", tlsfiles.Files{CA: ours.CA}, "localhost", "present a client certificate"},
		{"wrong certificate", tlsfiles.Files{CA: ours.CA, Cert: strangers.Cert, Key: strangers.Key}, "localhost", "present a client certificate"},
	} {
		t.Run(test.name, func(t *testing.T) {
			client, err := test.files.Client()
			if err != nil {
				t.Fatal(err)
			}
			client.ServerName = test.host
			err = handshake(t, serverConfig(t, ours), client)
			if (err == nil) != (test.want == "") {
				t.Fatalf("got error %v", err)
			}
			if got := tlsfiles.Hint(fmt.Errorf("wrapped: %w", err)); !strings.Contains(got, test.want) || (got == "") != (test.want == "") {
				t.Errorf("the hint for %v is %q, want %q", err, got, test.want)
			}
		})
	}
	if got := tlsfiles.Hint(errors.New("connection refused")); got != "" {
		t.Errorf("the hint for a server that is down is %q, want none", got)
	}
}

func issue(t *testing.T, name string) testservers.TLS {
	t.Helper()
	authority, err := testservers.NewAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	issued, err := authority.Issue(name)
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

func serverConfig(t *testing.T, own testservers.TLS) *tls.Config {
	t.Helper()
	config, err := tlsfiles.Files{CA: own.CA, Cert: own.Cert, Key: own.Key}.Client()
	if err != nil {
		t.Fatal(err)
	}
	config.ClientCAs, config.ClientAuth = config.RootCAs, tls.RequireAndVerifyClientCert
	return config
}

// handshake connects and reads a byte: only then does a rejected client get an error.
func handshake(t *testing.T, server, client *tls.Config) error {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = conn.Write([]byte("!"))
	}()
	raw, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	conn := tls.Client(raw, client)
	if err := conn.Handshake(); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}
