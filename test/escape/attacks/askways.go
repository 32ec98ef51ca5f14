//go:build linux

package attacks

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// Way is what came of asking for a host by one of the ways.
type Way struct {
	// Open: it was let through, whether or not anybody was there.
	Open bool `json:"open"`
	// Heard: the host itself answered.
	Heard bool `json:"heard"`
	// Refused: the gateway said no.
	Refused bool   `json:"refused"`
	Said    string `json:"said"`
}

// Ways asks for a host by each way, and over DNS. A port of 0 means the way's
// own. word is what the host says.
func Ways(ctx context.Context, host string, port uint16, word string) (map[string]Way, error) {
	t := Targets{Nonce: word}
	gateway, ok := t.gateway()
	if !ok {
		return nil, errors.New("nobody says where the gateway is")
	}
	found := map[string]Way{}
	for _, w := range ways() {
		at := port
		if at == 0 {
			at = w.port
		}
		open, said := w.ask(ctx, t, gateway, host, at)
		way := Way{Open: open, Heard: said == answered, Said: said}
		switch w.name {
		case "absolute", "host":
			way.Refused = !open
		case "connect":
			way.Refused = said == "status 403"
			way.Heard = open && heardInside(ctx, host, at, word, func() (net.Conn, error) {
				conn, _, err := tunnel(ctx, gateway, hostPort(host, at))
				return conn, err
			})
		case "socks":
			way.Refused = said == "SOCKS code 2"
			way.Heard = open && heardInside(ctx, host, at, word, func() (net.Conn, error) {
				conn, _, err := socks(ctx, gateway, host, at)
				return conn, err
			})
		case "sni":
			way.Refused = strings.HasSuffix(said, unrecognizedName)
		}
		found[w.name] = way
	}
	answer, err := question(ctx, "udp", netip.AddrPortFrom(gateway, 53), host+".", dnsmessage.TypeA, nil)
	found["dns"] = Way{Open: len(answer.Answers) > 0, Refused: answer.RCode == dnsmessage.RCodeRefused, Said: errorText(err)}
	return found, nil
}

// heardInside says whether the host answers in a tunnel.
func heardInside(_ context.Context, host string, port uint16, word string, open func() (net.Conn, error)) bool {
	conn, err := open()
	if err != nil || conn == nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: "+hostPort(host, port)+"\r\nConnection: close\r\n\r\n") // what is missing is seen below
	answer, _ := io.ReadAll(io.LimitReader(conn, 64<<10))
	return bytes.Contains(answer, []byte(word))
}
