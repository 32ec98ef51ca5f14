package ca

import (
	"container/list"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

const (
	// leafLifetime is short: a leaf is made again when it is needed again.
	leafLifetime = 7 * 24 * time.Hour
	// leafReserve is what must be left of a leaf's life for it to be used.
	leafReserve = 24 * time.Hour
	// cacheSize bounds the leaves that are kept, of some 2 KiB each.
	cacheSize = 1024
)

// Issuer signs for server names in an authority's name. It is safe for
// concurrent use.
type Issuer struct {
	parent *x509.Certificate
	signer *ecdsa.PrivateKey
	key    *ecdsa.PrivateKey // of every leaf
	now    func() time.Time

	mu     sync.Mutex // guards the rest
	leaves map[string]*list.Element
	recent *list.List // of *leaf, the one used last in front
}

type leaf struct {
	name string
	cert *tls.Certificate
}

// NewIssuer reads an authority and makes the key that its leaves share.
func NewIssuer(p Pair) (*Issuer, error) {
	parent, signer, err := parse(p)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the key of leaves: %w", err)
	}
	return &Issuer{
		parent: parent, signer: signer, key: key, now: time.Now,
		leaves: map[string]*list.Element{}, recent: list.New(),
	}, nil
}

// Leaf is a certificate for a normalised server name or a literal address,
// made now or kept from before. The caller must not change it.
func (i *Issuer) Leaf(name string) (*tls.Certificate, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if at, ok := i.leaves[name]; ok {
		known, _ := at.Value.(*leaf)
		if known.cert.Leaf.NotAfter.Sub(i.now()) > leafReserve {
			i.recent.MoveToFront(at)
			return known.cert, nil
		}
		i.forget(at)
	}
	cert, err := i.sign(name)
	if err != nil {
		return nil, err
	}
	i.leaves[name] = i.recent.PushFront(&leaf{name, cert})
	if i.recent.Len() > cacheSize {
		i.forget(i.recent.Back())
	}
	return cert, nil
}

func (i *Issuer) forget(at *list.Element) {
	known, _ := i.recent.Remove(at).(*leaf)
	delete(i.leaves, known.name)
}

// sign makes a leaf whose life lies within its authority's and begins early
// enough for a clock that is behind.
func (i *Issuer) sign(name string) (*tls.Certificate, error) {
	serial, err := serialNumber()
	if err != nil {
		return nil, err
	}
	now := i.now()
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: commonName(name)},
		NotBefore:    latest(i.parent.NotBefore, now.Add(-skew)),
		NotAfter:     earliest(i.parent.NotAfter, now.Add(leafLifetime)),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if addr, err := netip.ParseAddr(name); err == nil {
		template.IPAddresses = append(template.IPAddresses, addr.AsSlice())
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, i.parent, i.key.Public(), i.signer)
	if err != nil {
		return nil, fmt.Errorf("sign for %s: %w", name, err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("sign for %s: %w", name, err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: i.key, Leaf: parsed}, nil
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
