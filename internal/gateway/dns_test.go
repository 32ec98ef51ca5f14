package gateway

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
)

func query(t testing.TB, name string, kind dnsmessage.Type) []byte {
	t.Helper()
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 77, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}},
	}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// ask sends one message over UDP and TCP, and wants one answer.
func (f *fixture) ask(message []byte) dnsmessage.Message {
	f.t.Helper()
	udp, err := connect(f.t, "udp", f.dnsUDP)
	if err != nil {
		f.t.Fatal(err)
	}
	defer udp.Close()
	_ = udp.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := udp.Write(message); err != nil {
		f.t.Fatal(err)
	}
	buffer := make([]byte, 2048)
	n, err := udp.Read(buffer)
	if err != nil {
		f.t.Fatal(err)
	}
	tcp := dial(f.t, f.dnsTCP)
	defer tcp.Close()
	_, _ = tcp.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...))
	var size [2]byte
	if _, err := io.ReadFull(tcp, size[:]); err != nil {
		f.t.Fatal(err)
	}
	stream := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(tcp, stream); err != nil {
		f.t.Fatal(err)
	}
	if string(stream) != string(buffer[:n]) {
		f.t.Errorf("UDP says %x, TCP %x", buffer[:n], stream)
	}
	var m dnsmessage.Message
	if err := m.Unpack(stream); err != nil {
		f.t.Fatal(err)
	}
	if !m.Response || m.ID != 77 {
		f.t.Errorf("%+v", m.Header)
	}
	return m
}

func TestDNS(t *testing.T) {
	w := newWorld()
	f := start(t, w, allow("api.example", "*.wild.example", "db.example:5432", "10.0.0.1"))
	for _, tt := range []struct {
		name    string
		kind    dnsmessage.Type
		code    dnsmessage.RCode
		answers int
	}{
		{"api.example.", dnsmessage.TypeA, dnsmessage.RCodeSuccess, 1},
		{"API.exAmple.", dnsmessage.TypeA, dnsmessage.RCodeSuccess, 1},
		{"a.wild.example.", dnsmessage.TypeA, dnsmessage.RCodeSuccess, 1},
		{"db.example.", dnsmessage.TypeA, dnsmessage.RCodeSuccess, 1},
		{"api.example.", dnsmessage.TypeAAAA, dnsmessage.RCodeSuccess, 0},
		{"api.example.", dnsmessage.TypeTXT, dnsmessage.RCodeSuccess, 0},
		{"api.example.", dnsmessage.TypeALL, dnsmessage.RCodeSuccess, 0},
		{"api.example.", 65, dnsmessage.RCodeSuccess, 0}, // HTTPS
		{"wild.example.", dnsmessage.TypeA, dnsmessage.RCodeRefused, 0},
		{"c2VjcmV0.evil.example.", dnsmessage.TypeA, dnsmessage.RCodeRefused, 0},
		{"c2VjcmV0.evil.example.", dnsmessage.TypeTXT, dnsmessage.RCodeRefused, 0},
		{"x.api.example.", dnsmessage.TypeA, dnsmessage.RCodeRefused, 0},
		{"1.0.0.10.in-addr.arpa.", dnsmessage.TypePTR, dnsmessage.RCodeRefused, 0},
		{"10.0.0.1.", dnsmessage.TypeA, dnsmessage.RCodeRefused, 0},
		{".", dnsmessage.TypeNS, dnsmessage.RCodeRefused, 0},
	} {
		m := f.ask(query(t, tt.name, tt.kind))
		if m.RCode != tt.code || len(m.Answers) != tt.answers || len(m.Authorities) != 0 {
			t.Errorf("%s %v: %+v", tt.name, tt.kind, m)
		}
		if len(m.Questions) != 1 || m.Questions[0].Name.String() != tt.name {
			t.Errorf("%s: the question came back as %v", tt.name, m.Questions)
		}
		if tt.answers == 1 {
			if a, ok := m.Answers[0].Body.(*dnsmessage.AResource); !ok || netip.AddrFrom4(a.A) != addr("127.0.0.1") {
				t.Errorf("%s: %+v", tt.name, m.Answers)
			}
		}
	}
	if len(w.asked) != 0 || len(w.dials()) != 0 {
		t.Errorf("questions went on: asked %v, dialled %v", w.asked, w.dials())
	}
	e := f.eventually("the refusal's record", func(e audit.Event) bool { return strings.HasPrefix(e.Host, "c2vjcmv0") })
	if e.Kind != policy.DNS || e.Decision != audit.Denied || e.Rule != policy.RuleDefault || e.Method != "A" {
		t.Errorf("%+v", e)
	}
}

func TestDNSForms(t *testing.T) {
	f := start(t, newWorld(), allow("api.example"))
	good := query(t, "api.example.", dnsmessage.TypeA)
	change := func(change func(*dnsmessage.Message)) []byte {
		var m dnsmessage.Message
		if err := m.Unpack(good); err != nil {
			t.Fatal(err)
		}
		change(&m)
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	two := change(func(m *dnsmessage.Message) { m.Questions = append(m.Questions, m.Questions[0]) })
	none := change(func(m *dnsmessage.Message) { m.Questions = nil })
	chaos := change(func(m *dnsmessage.Message) { m.Questions[0].Class = dnsmessage.ClassCHAOS })
	notify := change(func(m *dnsmessage.Message) { m.OpCode = 4 })
	for name, tt := range map[string]struct {
		message []byte
		code    dnsmessage.RCode
	}{
		"two questions": {two, dnsmessage.RCodeFormatError},
		"no question":   {none, dnsmessage.RCodeFormatError},
		"torn":          {good[:len(good)-3], dnsmessage.RCodeFormatError},
		"chaos":         {chaos, dnsmessage.RCodeRefused},
		"notify":        {notify, dnsmessage.RCodeNotImplemented},
	} {
		if m := f.ask(tt.message); m.RCode != tt.code || len(m.Answers) != 0 {
			t.Errorf("%s: %+v", name, m)
		}
	}
	edns := change(func(m *dnsmessage.Message) {
		var h dnsmessage.ResourceHeader
		if err := h.SetEDNS0(4096, dnsmessage.RCodeSuccess, true); err != nil {
			t.Fatal(err)
		}
		m.Additionals = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.OPTResource{}}}
	})
	if m := f.ask(edns); len(m.Additionals) != 1 || m.Additionals[0].Header.Type != dnsmessage.TypeOPT || len(m.Answers) != 1 {
		t.Errorf("EDNS: %+v", m)
	}
}

// What is no question gets no answer, or the gateway could be made to talk to
// itself.
func TestDNSAnswersNoAnswer(t *testing.T) {
	d := dnsServer{address: addr("127.0.0.1")}
	answer := query(t, "api.example.", dnsmessage.TypeA)
	answer[2] |= 0x80
	for _, message := range [][]byte{answer, answer[:11], nil} {
		if b := d.answer(t.Context(), message); b != nil {
			t.Errorf("%x: answered %x", message, b)
		}
	}
}

// A question asked without end is a line now and then, with the count.
func TestDNSRepeats(t *testing.T) {
	record := filepath.Join(t.TempDir(), "record")
	t.Run("gateway", func(t *testing.T) {
		f := &fixture{t: t, record: record}
		f.run(newWorld(), allow("api.example"))
		for range 50 {
			f.ask(query(t, "evil.example.", dnsmessage.TypeA)) // twice: UDP and TCP
		}
		for i := range maxQuestions + 10 {
			d := dnsServer{f.server, addr("127.0.0.1")}
			d.answer(t.Context(), query(t, fmt.Sprintf("%d.example.", i), dnsmessage.TypeA))
		}
		if n := len(f.server.questions.last); n > maxQuestions {
			t.Errorf("%d questions are remembered", n)
		}
	})
	f := &fixture{t: t, record: record}
	lines, asked := 0, 0
	for _, e := range f.events() {
		if e.Host == "evil.example" {
			lines++
			asked += 1 + e.Repeats
		}
	}
	if lines != 2 || asked != 100 {
		t.Errorf("%d lines say %d questions, want 2 and 100", lines, asked)
	}
}

func FuzzDNS(f *testing.F) {
	f.Add(query(f, "api.example.", dnsmessage.TypeA))
	f.Add(query(f, "evil.example.", dnsmessage.TypeTXT))
	f.Add([]byte("\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01"))
	f.Fuzz(func(t *testing.T, message []byte) {
		q, ok := parseQuestion(message)
		if !ok {
			return
		}
		b, err := q.reply(addr("127.0.0.1"))
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if err := m.Unpack(b); err != nil || !m.Response || m.ID != q.id {
			t.Fatalf("%x: answered %x: %v", message, b, err)
		}
		if len(b) > dnsUDPSize {
			t.Fatalf("%x: %d bytes", message, len(b))
		}
	})
}
