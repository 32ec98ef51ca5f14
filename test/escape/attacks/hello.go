//go:build linux

package attacks

import (
	"crypto/rand"
	"encoding/binary"
)

// clientHello is one of TLS 1.2 (RFC 5246, 7.4.1.2) in a record of its own,
// with name as its server name (RFC 6066) unless it is empty. It is written by
// hand: a library would set straight what is to be crooked.
func clientHello(name string) []byte {
	var extensions []byte
	if name != "" {
		entry := prefixed(2, append([]byte{0}, prefixed(2, []byte(name))...))
		extensions = append(extensions, extension(0, entry)...)
	}
	extensions = append(extensions, extension(10, prefixed(2, []byte{0, 29, 0, 23}))...)                       // groups: X25519, P-256
	extensions = append(extensions, extension(11, []byte{1, 0})...)                                            // points: uncompressed
	extensions = append(extensions, extension(13, prefixed(2, []byte{4, 3, 8, 4, 4, 1, 5, 3, 8, 5, 5, 1}))...) // signatures
	random := make([]byte, 32)
	_, _ = rand.Read(random) // it never fails
	body := append([]byte{3, 3}, random...)
	body = append(body, 0)                                                                      // no session
	body = append(body, prefixed(2, []byte{0xc0, 0x2b, 0xc0, 0x2f, 0xc0, 0x2c, 0xc0, 0x30})...) // ECDHE with AES-GCM
	body = append(body, 1, 0)                                                                   // no compression
	body = append(body, prefixed(2, extensions)...)
	return append([]byte{22, 3, 1}, prefixed(2, append([]byte{1}, prefixed(3, body)...))...)
}

func extension(kind uint16, data []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, kind), prefixed(2, data)...)
}

// prefixed is data behind its length in so many bytes.
func prefixed(bytes int, data []byte) []byte {
	length := binary.BigEndian.AppendUint32(nil, uint32(len(data))) //nolint:gosec // G115: a few hundred
	return append(length[4-bytes:], data...)
}
