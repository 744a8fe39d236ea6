package testservers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Authority is a certificate authority for servers on this machine and their clients.
type Authority struct {
	folder string
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
}

// NewAuthority creates a CA with its files in a folder.
func NewAuthority(folder string) (*Authority, error) {
	a := &Authority{folder: folder}
	cert, key, err := a.issue("ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	if err != nil {
		return nil, err
	}
	a.cert, a.key = cert, key
	return a, nil
}

// Issue creates a certificate with a common name, valid for servers at localhost and 127.0.0.1 and for
// clients.
func (a *Authority) Issue(name string) (TLS, error) {
	_, _, err := a.issue(name, &x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	return TLS{CA: a.file("ca", "cert"), Cert: a.file(name, "cert"), Key: a.file(name, "key")}, err
}

func (a *Authority) file(name, kind string) string {
	return filepath.Join(a.folder, name+"-"+kind+".pem")
}

// issue signs a certificate; the first one, of the CA, is self-signed.
func (a *Authority) issue(name string, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("generate the key of %q: %w", name, err)
	}
	template.Subject = pkix.Name{CommonName: name}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, nil, fmt.Errorf("sign the certificate of %q: %w", name, err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("encode the key of %q: %w", name, err)
	}
	for kind, block := range map[string]*pem.Block{"cert": {Type: "CERTIFICATE", Bytes: der}, "key": {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(a.file(name, kind), pem.EncodeToMemory(block), 0o600); err != nil {
			return nil, nil, fmt.Errorf("write the %s of %q: %w", kind, name, err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	return cert, key, err
}
