package probe

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
)

// alert is what TLS ends a connection with (RFC 8446, 6).
type alert byte

// Alerts of a gateway on trial: for a name that is not carried yet, and for one
// that the policy refuses.
const (
	alertOnTrial alert = 80  // internal_error
	alertRefused alert = 112 // unrecognized_name
)

// hello begins TLS with a name and wants an alert. It is written by hand: the
// library's client is most of what a program with it needs to start, and a
// launch waits for the guest's to do so.
func hello(at netip.AddrPort, name string, want alert) func(context.Context) outcome {
	return func(ctx context.Context) outcome {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", at.String())
		if err != nil {
			return broken(reason(err))
		}
		defer func() { _ = conn.Close() }()
		if deadline, ok := ctx.Deadline(); ok {
			_ = conn.SetDeadline(deadline)
		}
		if _, err := conn.Write(clientHello(name)); err != nil {
			return broken(reason(err))
		}
		var record [7]byte // of the one kind that is wanted
		if _, err := io.ReadFull(conn, record[:]); err != nil {
			return broken(reason(err))
		}
		const kind, length, fatal = 21, 2, 2 // RFC 8446, B.1 and B.2
		if record[0] != kind || record[4] != length || record[5] != fatal || alert(record[6]) != want {
			return broken(fmt.Sprintf("the gateway answered %x, not alert %d", record, want))
		}
		return works(fmt.Sprintf("answered alert %d", want))
	}
}

// clientHello is one of TLS 1.2 and 1.3 in a record (RFC 8446, 4.1.2 and 5.1)
// with a server's name (RFC 6066, 3). Nothing in it is random, since no handshake
// comes of it.
func clientHello(name string) []byte {
	zero := make([]byte, 32)
	extensions := slices.Concat(
		extension(0, sized(2, slices.Concat([]byte{0}, sized(2, []byte(name))))), // server_name
		extension(10, sized(2, []byte{0, 29})),                                   // supported_groups
		extension(13, sized(2, []byte{4, 3, 8, 4})),                              // signature_algorithms
		extension(43, sized(1, []byte{3, 4, 3, 3})),                              // supported_versions
		extension(51, sized(2, slices.Concat([]byte{0, 29}, sized(2, zero)))),    // key_share
	)
	body := slices.Concat(
		[]byte{3, 3}, zero, sized(1, nil), // no session
		sized(2, []byte{0x13, 1, 0xc0, 0x2b}), // AES with GCM, of 1.3 and of 1.2
		sized(1, []byte{0}),                   // no compression
		sized(2, extensions),
	)
	return slices.Concat([]byte{22, 3, 1}, sized(2, slices.Concat([]byte{1}, sized(3, body))))
}

func extension(kind uint16, data []byte) []byte {
	return slices.Concat(binary.BigEndian.AppendUint16(nil, kind), sized(2, data))
}

// sized is data after its length, a number of so many bytes.
func sized(bytes int, data []byte) []byte {
	length := binary.BigEndian.AppendUint32(nil, uint32(len(data))) //nolint:gosec // G115: hundreds at most
	return slices.Concat(length[4-bytes:], data)
}
