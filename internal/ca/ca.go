// Package ca is the certificate authority of one run. The launcher
// makes it in memory and hands it to the run's gateway, which signs with it
// for the names that it inspects. Its key is in no file, no engine object, no
// log and no bottle; what trusts it ends with the run.
package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"

	"claude-bottle/internal/keys"
)

const (
	// lifetime is an authority's: longer than any run.
	lifetime = 397 * 24 * time.Hour
	// skew is how far the clock of a bottle may be behind the host's.
	skew = 24 * time.Hour
)

// Pair is an authority as it is handed over.
type Pair = keys.Authority

// New makes the authority of a run, which people see as its name: ECDSA on
// P-256, valid from a day before now.
func New(run string, now time.Time) (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("make the authority's key: %w", err)
	}
	serial, err := serialNumber()
	if err != nil {
		return Pair{}, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{Organization: []string{"claude-bottle"}, CommonName: commonName("claude-bottle " + run)},
		NotBefore:             now.Add(-skew),
		NotAfter:              now.Add(lifetime),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true, // it signs servers and no other authority
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return Pair{}, fmt.Errorf("sign the authority: %w", err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Pair{}, fmt.Errorf("encode the authority's key: %w", err)
	}
	return Pair{
		Certificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		Key:         string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})),
	}, nil
}

// parse reads a pair, whose error never holds any of it.
func parse(p Pair) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	pair, err := tls.X509KeyPair([]byte(p.Certificate), []byte(p.Key))
	if err != nil {
		return nil, nil, fmt.Errorf("read the authority: %w", err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() || !pair.Leaf.IsCA {
		return nil, nil, fmt.Errorf("read the authority: it is not one of P-256")
	}
	return pair.Leaf, key, nil
}

// serialNumber is random (RFC 5280, 4.1.2.2), so that two authorities of one
// name never sign the same number.
func serialNumber() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	return n, nil
}

// commonName is at most 64 characters long (RFC 5280, appendix A.1).
func commonName(name string) string { return name[:min(len(name), 64)] }
