package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/net/dns/dnsmessage"

	"claude-bottle/internal/wire"
)

// Names of one launch, below a domain that never exists (RFC 6761, 6.4).
const (
	canaryDomain  = ".canary.invalid"
	refusedDomain = ".refused.invalid"
)

// CanaryName is what a gateway on trial answers with its own address, so that
// a forwarded question shows who got it.
func CanaryName(word string) string { return word + canaryDomain }

// refusedName is one that no policy allows.
func refusedName(word string) string { return word + refusedDomain }

// answer is a name server's.
type answer struct {
	code      dnsmessage.RCode
	addresses []netip.Addr
	records   int
}

func (a answer) String() string {
	code := map[dnsmessage.RCode]string{
		dnsmessage.RCodeSuccess: "NOERROR", dnsmessage.RCodeNameError: "NXDOMAIN",
		dnsmessage.RCodeRefused: "REFUSED", dnsmessage.RCodeServerFailure: "SERVFAIL",
	}[a.code]
	if code == "" {
		code = fmt.Sprintf("code %d", a.code)
	}
	if a.records == 0 {
		return code
	}
	return fmt.Sprintf("%s %v", code, a.addresses)
}

// lookup asks a server for the IPv4 address of a name.
func lookup(ctx context.Context, network string, server netip.AddrPort, name string) (answer, error) {
	question, err := questionFor(name)
	if err != nil {
		return answer{}, err
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, server.String())
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if network == "tcp" {
		question = append(binary.BigEndian.AppendUint16(nil, uint16(len(question))), question...) //nolint:gosec // G115: one name
	}
	if _, err := conn.Write(question); err != nil {
		return answer{}, err
	}
	message := make([]byte, 1500)
	if network == "tcp" {
		if _, err := io.ReadFull(conn, message[:2]); err != nil {
			return answer{}, err
		}
		message = message[:min(len(message), int(binary.BigEndian.Uint16(message)))]
		_, err = io.ReadFull(conn, message)
	} else {
		var n int
		n, err = conn.Read(message)
		message = message[:n]
	}
	if err != nil {
		return answer{}, err
	}
	return parseAnswer(message)
}

func questionFor(name string) ([]byte, error) {
	asked, err := dnsmessage.NewName(name + ".")
	if err != nil {
		return nil, fmt.Errorf("ask for %s: %w", name, err)
	}
	message := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 1, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: asked, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
	}
	return message.Pack()
}

func parseAnswer(raw []byte) (answer, error) {
	var message dnsmessage.Message
	if err := message.Unpack(raw); err != nil || !message.Response {
		return answer{}, errors.New("what came back is no answer")
	}
	a := answer{code: message.RCode, records: len(message.Answers)}
	for _, record := range message.Answers {
		if body, ok := record.Body.(*dnsmessage.AResource); ok {
			a.addresses = append(a.addresses, netip.AddrFrom4(body.A))
		}
	}
	return a, nil
}

// resolver checks that the engine's own name server, which no setting takes
// out of a bottle, asks the gateway and nobody else: the gateway alone knows
// the canary's name. Whoever is asked elsewhere may take his time, so an answer
// is waited for; where no such server is, the kernel says so at once.
func resolver(p wire.Probe) []check {
	if !p.Resolver.IsValid() {
		return nil
	}
	var checks []check
	for _, network := range []string{"udp", "tcp"} {
		checks = append(checks, check{Resolver, p.Resolver.String() + " " + network, false, func(ctx context.Context) outcome {
			got, err := lookup(ctx, network, p.Resolver, CanaryName(p.Word))
			switch {
			case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF):
				return closed("nobody is there")
			case err != nil:
				return judge(err)
			case len(got.addresses) == 1 && got.addresses[0] == p.Gateway:
				return closed("forwards to the gateway")
			case got.code == dnsmessage.RCodeServerFailure && got.records == 0 && p.SilentServfail:
				return closed("forwards nowhere")
			}
			return open("it answered " + got.String() + ", which the gateway did not say")
		}})
	}
	return checks
}
