package tlsfiles

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
)

// Hint says what to do about a permanent TLS error. It is empty for any other error.
func Hint(err error) string {
	var (
		certificate *tls.CertificateVerificationError
		hostname    x509.HostnameError
		remote      *net.OpError
		record      tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &hostname):
		return "connect by a name that the server's certificate has"
	case errors.As(err, &certificate):
		return "name the CA that signed the server's certificate"
	case errors.As(err, &remote) && remote.Op == "remote error": // so crypto/tls names alerts
		return "show a client certificate that the server's CA signed"
	case errors.As(err, &record):
		return "the server does not speak TLS at this port"
	}
	return ""
}
