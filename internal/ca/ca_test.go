package ca

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

func issuer(t testing.TB) (*Issuer, *x509.CertPool) {
	t.Helper()
	pair, err := New("run1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	i, err := NewIssuer(pair)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(pair.Certificate)) {
		t.Fatal("the certificate is not PEM")
	}
	return i, pool
}

func TestLeafIsTrusted(t *testing.T) {
	i, pool := issuer(t)
	long := strings.Repeat("a", 63) + "." + strings.Repeat("b", 63) + ".example"
	for _, name := range []string{"a.example", "93.184.216.34", "2606:2800:220:1::1", "xn--bcher-kva.example", long} {
		cert, err := i.Leaf(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		verify := func(host string, at time.Time) error {
			_, err := cert.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: pool, CurrentTime: at})
			return err
		}
		host := name
		if strings.Contains(name, ":") {
			host = "[" + name + "]"
		}
		for _, off := range []time.Duration{-20 * time.Hour, 0, 5 * 24 * time.Hour} {
			if err := verify(host, time.Now().Add(off)); err != nil {
				t.Errorf("%s at %v: %v", name, off, err)
			}
		}
		if verify("b.example", time.Now()) == nil {
			t.Errorf("the leaf of %s is for another name too", name)
		}
		if cert.Leaf.NotAfter.After(i.parent.NotAfter) || cert.Leaf.NotBefore.Before(i.parent.NotBefore) || cert.Leaf.IsCA {
			t.Errorf("%s: %+v", name, cert.Leaf)
		}
		client := x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
		if _, err := cert.Leaf.Verify(client); err == nil {
			t.Errorf("the leaf of %s may be a client's", name)
		}
	}
}

// A leaf at the end of its authority's life ends with it.
func TestLeafStaysWithinItsAuthority(t *testing.T) {
	i, _ := issuer(t)
	i.now = func() time.Time { return i.parent.NotAfter.Add(-time.Hour) }
	cert, err := i.Leaf("a.example")
	if err != nil || !cert.Leaf.NotAfter.Equal(i.parent.NotAfter) {
		t.Errorf("%v, %v", cert.Leaf.NotAfter, err)
	}
}

func TestLeavesAreKeptAndBounded(t *testing.T) {
	i, _ := issuer(t)
	first, err := i.Leaf("a.example")
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := i.Leaf("a.example"); again != first {
		t.Error("the same name is signed twice")
	}
	start := time.Now()
	i.now = func() time.Time { return start.Add(leafLifetime - leafReserve/2) }
	if renewed, _ := i.Leaf("a.example"); renewed == first {
		t.Error("a leaf is used up to its end")
	}
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			for n := range cacheSize / 2 {
				if _, err := i.Leaf(fmt.Sprintf("%d.%d.example", n, worker)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if len(i.leaves) != cacheSize || i.recent.Len() != cacheSize {
		t.Errorf("%d and %d are kept", len(i.leaves), i.recent.Len())
	}
}

// Nothing that prints a pair by accident prints its key.
func TestKeyIsNotPrinted(t *testing.T) {
	pair, err := New("run1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(pair.Key))
	if block == nil {
		t.Fatal("the key is not PEM")
	}
	var logged bytes.Buffer
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "pair", pair)
	held := struct{ P Pair }{pair}
	for _, text := range []string{
		fmt.Sprint(pair), fmt.Sprintf("%v %+v %#v %s %d %q", pair, held, held, pair, pair, pair),
		fmt.Sprintf("%x", pair), logged.String(),
	} {
		if strings.Contains(text, "PRIVATE") || strings.Contains(text, hex.EncodeToString([]byte("PRIVATE"))) {
			t.Errorf("printed: %s", text)
		}
	}
	if data, _ := json.Marshal(pair); !strings.Contains(string(data), "PRIVATE") {
		t.Error("the boot frame would lose the key")
	}
}

func TestNotAnAuthority(t *testing.T) {
	a, err := New("a", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	b, err := New("b", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	i, err := NewIssuer(a)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := i.Leaf("a.example")
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(i.key)
	if err != nil {
		t.Fatal(err)
	}
	server := Pair{
		Certificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})),
		Key:         string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})),
	}
	for name, pair := range map[string]Pair{
		"none": {}, "no key": {Certificate: a.Certificate}, "another's key": {Certificate: a.Certificate, Key: b.Key}, "a server's": server,
	} {
		if _, err := NewIssuer(pair); err == nil || strings.Contains(err.Error(), "BEGIN") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
