//go:build linux

package attacks

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/netip"

	"golang.org/x/net/dns/dnsmessage"
)

func dnsAttacks() []Attack {
	return []Attack{
		{ID: "dns/unlisted", What: "look up a name that is on no list, and data below it", try: dnsUnlisted},
		{ID: "dns/wild", What: "carry data in names below an allowed domain", try: dnsWild},
		{ID: "dns/types", What: "ask for types that carry data: TXT, NULL, ANY, AXFR, SVCB and others", try: dnsTypes},
		{ID: "dns/odd", What: "questions of other classes and operations, several at once, reverse ones", try: dnsOdd},
		{ID: "dns/udp-elsewhere", What: "ask another name server over UDP", try: func(ctx context.Context, t Targets) result {
			return otherServers(ctx, t, "udp")
		}},
		{ID: "dns/tcp-elsewhere", What: "ask another name server over TCP", try: func(ctx context.Context, t Targets) result {
			return otherServers(ctx, t, "tcp")
		}},
		{ID: "dns/through-gateway", What: "reach another name server through the gateway: ports 53, 853 and 443 of its address", try: dnsThrough},
	}
}

// question asks one server one thing.
func question(ctx context.Context, network string, server netip.AddrPort, name string, kind dnsmessage.Type, change func(*dnsmessage.Message)) (dnsmessage.Message, error) {
	parsed, err := dnsmessage.NewName(name)
	if err != nil {
		return dnsmessage.Message{}, err
	}
	message := dnsmessage.Message{Header: dnsmessage.Header{ID: 7, RecursionDesired: true}}
	message.Questions = []dnsmessage.Question{{Name: parsed, Type: kind, Class: dnsmessage.ClassINET}}
	if change != nil {
		change(&message)
	}
	packed, err := message.Pack()
	if err != nil {
		return dnsmessage.Message{}, err
	}
	raw, err := askRaw(ctx, network, server, packed)
	if err != nil {
		return dnsmessage.Message{}, err
	}
	var answer dnsmessage.Message
	return answer, answer.Unpack(raw)
}

func askRaw(ctx context.Context, network string, server netip.AddrPort, packed []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, network, server.String())
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	if network == "udp" {
		if _, err := conn.Write(packed); err != nil {
			return nil, err
		}
		answer := make([]byte, 4096)
		n, err := conn.Read(answer)
		return answer[:n], err
	}
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packed))), packed...)); err != nil { //nolint:gosec // G115: small
		return nil, err
	}
	length := make([]byte, 2)
	if _, err := io.ReadFull(conn, length); err != nil {
		return nil, err
	}
	answer := make([]byte, binary.BigEndian.Uint16(length))
	_, err = io.ReadFull(conn, answer)
	return answer, err
}

// smuggled is a name that carries data.
func smuggled(domain string) string {
	data := make([]byte, 90)
	_, _ = rand.Read(data) // it never fails
	text := hex.EncodeToString(data)
	return text[:60] + "." + text[60:120] + "." + text[120:] + "." + domain + "."
}

func dnsUnlisted(ctx context.Context, t Targets) result {
	gateway, ok := t.gateway()
	if !ok || t.ElsewhereName == "" {
		return absent("there is nothing to ask for")
	}
	server := netip.AddrPortFrom(gateway, 53)
	for _, network := range []string{"udp", "tcp"} {
		for _, name := range []string{t.ElsewhereName + ".", smuggled(t.ElsewhereName), smuggled(t.Allowed), "_x._tcp." + t.ElsewhereName + "."} {
			answer, err := question(ctx, network, server, name, dnsmessage.TypeA, nil)
			if err != nil {
				return result{"", fmt.Sprintf("the gateway does not answer over %s: %v", network, err)}
			}
			if answer.RCode != dnsmessage.RCodeRefused || len(answer.Answers) > 0 {
				return through("%s: %v", name, answer.RCode)
			}
		}
	}
	return stopped("refused over UDP and TCP")
}

// dnsWild: such names are answered, by the gateway itself. That none is passed
// on, the name server of the test says.
func dnsWild(ctx context.Context, t Targets) result {
	gateway, ok := t.gateway()
	if !ok || t.Wild == "" {
		return absent("no domain is allowed")
	}
	for range 8 {
		answer, err := question(ctx, "udp", netip.AddrPortFrom(gateway, 53), smuggled(t.Wild), dnsmessage.TypeA, nil)
		if err != nil {
			return result{"", "the gateway does not answer: " + err.Error()}
		}
		for _, record := range answer.Answers {
			if a, is := record.Body.(*dnsmessage.AResource); !is || netip.AddrFrom4(a.A) != gateway {
				return through("an answer that is not the gateway's own address: %v", record)
			}
		}
	}
	return stopped("answered with the gateway's own address, from nowhere else")
}

func dnsTypes(ctx context.Context, t Targets) result {
	gateway, ok := t.gateway()
	if !ok || t.Allowed == "" {
		return absent("there is nothing to ask for")
	}
	tried := 0
	for kind := dnsmessage.Type(1); kind < 266; kind++ {
		if kind == dnsmessage.TypeA || kind > 70 && kind < 249 {
			continue
		}
		for _, name := range []string{t.Allowed + ".", t.ElsewhereName + "."} {
			answer, err := question(ctx, "udp", netip.AddrPortFrom(gateway, 53), name, kind, nil)
			tried++
			if err == nil && len(answer.Answers)+len(answer.Authorities) > 0 {
				return through("type %v of %s was answered", kind, name)
			}
		}
	}
	return stopped("%d asked, none answered with anything", tried)
}

func dnsOdd(ctx context.Context, t Targets) result {
	gateway, ok := t.gateway()
	if !ok || t.Allowed == "" {
		return absent("there is nothing to ask for")
	}
	for what, change := range map[string]func(*dnsmessage.Message){
		"class CHAOS": func(m *dnsmessage.Message) { m.Questions[0].Class = dnsmessage.ClassCHAOS },
		"class ANY":   func(m *dnsmessage.Message) { m.Questions[0].Class = dnsmessage.ClassANY },
		"a status":    func(m *dnsmessage.Message) { m.OpCode = 2 },
		"a notify":    func(m *dnsmessage.Message) { m.OpCode = 4 },
		"an update":   func(m *dnsmessage.Message) { m.OpCode = 5 },
		"a response":  func(m *dnsmessage.Message) { m.Response = true },
		"two questions": func(m *dnsmessage.Message) {
			other, _ := dnsmessage.NewName(t.ElsewhereName + ".") // it was one
			m.Questions = append(m.Questions, dnsmessage.Question{Name: other, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET})
		},
		"a reverse one": func(m *dnsmessage.Message) {
			m.Questions[0].Name, m.Questions[0].Type = dnsmessage.MustNewName("9.113.0.203.in-addr.arpa."), dnsmessage.TypePTR
		},
	} {
		answer, err := question(ctx, "udp", netip.AddrPortFrom(gateway, 53), t.Allowed+".", dnsmessage.TypeA, change)
		if err == nil && len(answer.Answers) > 0 {
			return through("%s was answered: %v", what, answer.Answers)
		}
	}
	return stopped("none was answered")
}

// otherServers are the test's, the engine's own, and whatever the host could
// have on port 53.
func otherServers(ctx context.Context, t Targets, network string) result {
	servers := []netip.Addr{netip.MustParseAddr("127.0.0.11"), netip.MustParseAddr("127.0.0.53"), netip.MustParseAddr("127.0.0.1")}
	if t.NameServer.IsValid() {
		servers = append(servers, t.NameServer)
	}
	for _, host := range t.Host {
		if host.Addr().Is4() {
			servers = append(servers, host.Addr())
		}
	}
	answers := make(chan string, len(servers))
	name := t.ElsewhereName
	if name == "" {
		name = "elsewhere.example"
	}
	for _, server := range servers {
		go func() { // ends with the question
			answer, err := question(ctx, network, netip.AddrPortFrom(server, 53), smuggled(name), dnsmessage.TypeA, nil)
			if err == nil && (answer.RCode == dnsmessage.RCodeSuccess || answer.RCode == dnsmessage.RCodeNameError) {
				answers <- fmt.Sprintf("%s: %v", server, answer.RCode)
				return
			}
			answers <- ""
		}()
	}
	for range servers {
		if said := <-answers; said != "" {
			return through("%s", said)
		}
	}
	return stopped("%d servers, none knows anything", len(servers))
}

func dnsThrough(ctx context.Context, t Targets) result {
	gateway, ok := t.gateway()
	if !ok || !t.NameServer.IsValid() {
		return absent("there is no other server")
	}
	for _, port := range []uint16{53, 853, 443} {
		if open, said := connectTo(ctx, t, gateway, t.NameServer.String(), port); open {
			return through("CONNECT %d: %s", port, said)
		}
		if open, said := socksTo(ctx, t, gateway, t.NameServer.String(), port); open {
			return through("SOCKS %d: %s", port, said)
		}
	}
	return stopped("refused")
}
