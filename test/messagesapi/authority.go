package messagesapi

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"slices"
	"time"

	"github.com/google/renameio/v2"
)

// Authority is a certificate authority for [Name] and nothing else: whoever
// trusts it trusts no more than that.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// How long an authority, and what it signs, is valid; and how much of that
// must be left for Authority to go on with it.
const (
	lifetime = 90 * 24 * time.Hour
	reserve  = 7 * 24 * time.Hour
)

// LoadAuthority reads the authority for [Name] and more from a file, or makes
// one and writes it there. An image that trusts it then serves for the next
// time too.
func LoadAuthority(path string, more ...string) (*Authority, error) {
	data, err := os.ReadFile(path)
	if err == nil {
		a, err := parseAuthority(data)
		if err == nil && time.Until(a.cert.NotAfter) > reserve && slices.Equal(a.cert.PermittedDNSDomains, append([]string{Name}, more...)) {
			return a, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the authority: %w", err)
	}
	a, err := NewAuthority(more...)
	if err != nil {
		return nil, err
	}
	key, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return nil, fmt.Errorf("write the authority: %w", err)
	}
	data = append(a.PEM(), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	if err := renameio.WriteFile(path, data, 0o600); err != nil {
		return nil, fmt.Errorf("write the authority: %w", err)
	}
	return a, nil
}

func parseAuthority(data []byte) (*Authority, error) {
	pair, err := tls.X509KeyPair(data, data)
	if err != nil {
		return nil, err
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("a key of type %T", pair.PrivateKey)
	}
	return &Authority{cert: pair.Leaf, key: key}, nil
}

// LoginName is the name of the server that renews logins.
const LoginName = "platform.claude.com"

// NewAuthority makes an authority with a fresh key, for [Name] and more.
func NewAuthority(more ...string) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:                big.NewInt(1),
		Subject:                     pkix.Name{CommonName: "claude-bottle local test authority"},
		NotBefore:                   time.Now().Add(-time.Hour),
		NotAfter:                    time.Now().Add(lifetime),
		IsCA:                        true,
		BasicConstraintsValid:       true,
		KeyUsage:                    x509.KeyUsageCertSign,
		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         append([]string{Name}, more...),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign the authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read the authority back: %w", err)
	}
	return &Authority{cert: cert, key: key}, nil
}

// PEM is the authority's certificate, as a manifest's `ca` wants it.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// TLS is the configuration of a server that answers as all that the authority
// is for.
func (a *Authority) TLS() (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: Name},
		DNSNames:     a.cert.PermittedDNSDomains,
		NotBefore:    a.cert.NotBefore,
		NotAfter:     a.cert.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("sign a certificate for %s: %w", Name, err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key}},
		MinVersion:   tls.VersionTLS12,
	}, nil
}
