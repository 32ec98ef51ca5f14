package bottle

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // G505: what the format has; it protects nothing here
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// certificates are those of a PEM file, and nothing else of it.
func certificates(data []byte) string {
	var b strings.Builder
	for _, der := range decodePEM(data) {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	return b.String()
}

func decodePEM(data []byte) [][]byte {
	var all [][]byte
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return all
		}
		if block.Type == "CERTIFICATE" {
			all = append(all, block.Bytes)
		}
	}
}

// joinPEM puts PEM texts behind each other, each on lines of its own.
func joinPEM(texts ...string) string {
	var b strings.Builder
	for _, text := range texts {
		if text = strings.TrimSpace(text); text != "" {
			b.WriteString(text + "\n")
		}
	}
	return b.String()
}

// javaTrustStore holds the certificates of a PEM text in the format JKS,
// which every Java reads, without a password, since nothing in it is secret:
// a header, for each certificate an alias, a time and its DER, and behind all
// a digest over the default password, a fixed text and the store, which is
// looked at only by who gives that password.
func javaTrustStore(text string, now time.Time) ([]byte, error) {
	certs := decodePEM([]byte(text))
	var b bytes.Buffer
	word := func(v any) { _ = binary.Write(&b, binary.BigEndian, v) } // fixed sizes into memory: cannot fail
	utf := func(s string) {
		word(uint16(len(s))) //nolint:gosec // G115: short texts of our own
		b.WriteString(s)
	}
	word(uint32(0xfeedfeed))
	word(uint32(2))          // the version
	word(uint32(len(certs))) //nolint:gosec // G115: bounded by the size of text
	for i, der := range certs {
		word(uint32(2)) // a trusted certificate
		utf("root-" + strconv.Itoa(i))
		word(now.UnixMilli())
		utf("X.509")
		word(uint32(len(der))) //nolint:gosec // G115: bounded by the size of text
		b.Write(der)
	}
	digest := sha1.New() //nolint:gosec // G401: what the format has
	for _, c := range "changeit" {
		digest.Write([]byte{0, byte(c)})
	}
	digest.Write([]byte("Mighty Aphrodite"))
	digest.Write(b.Bytes())
	if b.Len() > 8<<20 {
		return nil, fmt.Errorf("the trust store is too large: %d bytes", b.Len())
	}
	return digest.Sum(b.Bytes()), nil
}
