// Package tlsfiles makes the TLS settings of a client or a server from PEM files.
package tlsfiles

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// Files names PEM files. Each may be "".
type Files struct {
	CA        string // signed the server's certificate; "": one of the system's
	Cert, Key string // of the client or the server; "": the client shows no certificate
}

// Client reads the files.
func (f Files) Client() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.CA != "" {
		pem, err := os.ReadFile(f.CA)
		if err != nil {
			return nil, fmt.Errorf("read the CA: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("the CA %s holds no certificate in PEM", f.CA)
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

// Server reads the certificate of a server and its key. Clients need none.
func (f Files) Server() (*tls.Config, error) {
	pair, err := f.pair("server")
	if err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}, nil
}

func (f Files) pair(whose string) (tls.Certificate, error) {
	if f.Cert == "" || f.Key == "" {
		return tls.Certificate{}, fmt.Errorf("a %s certificate and its key are needed together", whose)
	}
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return pair, fmt.Errorf("read the %s certificate %s and its key %s: %w", whose, f.Cert, f.Key, err)
	}
	return pair, nil
}
