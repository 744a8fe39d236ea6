package tlsfiles

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
)

// Remedy says what to do about an error of TLS that no repetition changes, and is
// empty for any other error.
func Remedy(err error) string {
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
