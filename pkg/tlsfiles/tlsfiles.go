// Package tlsfiles builds the TLS configuration of clients and servers from PEM files, has hints for
// TLS errors, and probes whether a server speaks TLS.
package tlsfiles

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// Files are paths of PEM files. Each may be empty.
type Files struct {
	CA   string // CA that signed the server's certificate; default: the system's CAs
	Cert string // certificate of the client or the server; default: the client presents none
	Key  string // private key of Cert
}

// Client returns the configuration of a client.
func (f Files) Client() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.CA != "" {
		pem, err := os.ReadFile(f.CA)
		if err != nil {
			return nil, fmt.Errorf("read the CA: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("the CA file %s contains no PEM certificate", f.CA)
		}
	}
	if f.Cert == "" && f.Key == "" {
		return config, nil
	}
	pair, err := f.pair("client")
	if err != nil {
		return nil, err
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}

// Server returns the configuration of a server. Clients need no certificate.
func (f Files) Server() (*tls.Config, error) {
	pair, err := f.pair("server")
	if err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}, nil
}

func (f Files) pair(role string) (tls.Certificate, error) {
	if f.Cert == "" || f.Key == "" {
		return tls.Certificate{}, fmt.Errorf("a %s certificate and its key are needed together", role)
	}
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return pair, fmt.Errorf("read the %s certificate %s and its key %s: %w", role, f.Cert, f.Key, err)
	}
	return pair, nil
}

// Hint returns what to do about a permanent TLS error. It is empty for any other error.
func Hint(err error) string {
	var (
		certificate *tls.CertificateVerificationError
		hostname    x509.HostnameError
		remote      *net.OpError
		record      tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &hostname):
		return "connect by a host name that the server's certificate contains"
	case errors.As(err, &certificate):
		return "specify the CA that signed the server's certificate"
	case errors.As(err, &remote) && remote.Op == "remote error": // an alert, in crypto/tls
		return "present a client certificate signed by the server's CA"
	case errors.As(err, &record):
		return "the server does not speak TLS at this port"
	}
	return ""
}

const probeTimeout = 2 * time.Second

// AcceptsTLS reports whether a server responds to a TLS handshake, whatever its certificate, and
// even if it rejects the client.
func AcceptsTLS(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	// Nothing is sent over this connection, so the certificate need not be verified.
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err == nil {
		conn.Close()
	}
	var alert tls.AlertError
	return err == nil || errors.As(err, &alert)
}
