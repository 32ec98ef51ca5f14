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

// What is not one question of the one form gets the code that its RFC says,
// with an OPT record where there was one (RFC 6891, 6.1.1), and no answer.
func TestDNSForms(t *testing.T) {
	f := start(t, newWorld(), allow("api.example"))
	good := query(t, "api.example.", dnsmessage.TypeA)
	opt := func(name string, ttl uint32, options ...byte) dnsmessage.Resource {
		return dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), Type: dnsmessage.TypeOPT, Class: 4096, TTL: ttl},
			Body:   &dnsmessage.UnknownResource{Type: dnsmessage.TypeOPT, Data: options},
		}
	}
	plain := opt(".", 0)
	address := dnsmessage.Resource{
		Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName("api.example."), Class: dnsmessage.ClassINET},
		Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 2}},
	}
	const badForm, fine = dnsmessage.RCodeFormatError, dnsmessage.RCodeSuccess
	for name, tt := range map[string]struct {
		change func(*dnsmessage.Message)
		code   dnsmessage.RCode
		opt    bool
	}{
		"two questions":  {func(m *dnsmessage.Message) { m.Questions = append(m.Questions, m.Questions[0]) }, badForm, false},
		"no question":    {func(m *dnsmessage.Message) { m.Questions = nil }, badForm, false},
		"an answer":      {func(m *dnsmessage.Message) { m.Answers = []dnsmessage.Resource{address} }, badForm, false},
		"an authority":   {func(m *dnsmessage.Message) { m.Authorities = []dnsmessage.Resource{address} }, badForm, false},
		"chaos":          {func(m *dnsmessage.Message) { m.Questions[0].Class = dnsmessage.ClassCHAOS }, dnsmessage.RCodeRefused, false},
		"any class":      {func(m *dnsmessage.Message) { m.Questions[0].Class = dnsmessage.ClassANY }, dnsmessage.RCodeRefused, false},
		"status":         {func(m *dnsmessage.Message) { m.OpCode = 2 }, dnsmessage.RCodeNotImplemented, false},
		"notify":         {func(m *dnsmessage.Message) { m.OpCode = 4 }, dnsmessage.RCodeNotImplemented, false},
		"update, EDNS":   {func(m *dnsmessage.Message) { m.OpCode, m.Additionals = 5, []dnsmessage.Resource{plain} }, dnsmessage.RCodeNotImplemented, true},
		"EDNS":           {func(m *dnsmessage.Message) { m.Additionals = []dnsmessage.Resource{plain} }, fine, true},
		"EDNS, a cookie": {func(m *dnsmessage.Message) { m.Additionals = []dnsmessage.Resource{opt(".", 0, 0, 10, 0, 2, 1, 2)} }, fine, true},
		"EDNS, small": {func(m *dnsmessage.Message) {
			small := plain
			small.Header.Class = 0
			m.Additionals = []dnsmessage.Resource{small}
		}, fine, true},
		"EDNS, not first":   {func(m *dnsmessage.Message) { m.Additionals = []dnsmessage.Resource{address, plain} }, fine, true},
		"EDNS twice":        {func(m *dnsmessage.Message) { m.Additionals = []dnsmessage.Resource{plain, plain} }, badForm, true},
		"EDNS of a name":    {func(m *dnsmessage.Message) { m.Additionals = []dnsmessage.Resource{opt("x.", 0)} }, badForm, true},
		"EDNS as an answer": {func(m *dnsmessage.Message) { m.Answers = []dnsmessage.Resource{plain} }, badForm, false},
		"EDNS, long option": {func(m *dnsmessage.Message) { m.Additionals = []dnsmessage.Resource{opt(".", 0, 0, 10, 0, 3, 1, 2)} }, badForm, true},
		"EDNS, torn option": {func(m *dnsmessage.Message) { m.Additionals = []dnsmessage.Resource{opt(".", 0, 0, 10, 0)} }, badForm, true},
		"EDNS 1":            {func(m *dnsmessage.Message) { m.Additionals = []dnsmessage.Resource{opt(".", 1<<16)} }, badVersion, true},
		"EDNS 1, no question": {func(m *dnsmessage.Message) {
			m.Questions, m.Additionals = nil, []dnsmessage.Resource{opt(".", 1<<16)}
		}, badVersion, true},
	} {
		m := f.ask(altered(t, good, tt.change))
		code, hasOPT := m.RCode, len(m.Additionals) == 1 && m.Additionals[0].Header.Type == dnsmessage.TypeOPT
		if hasOPT {
			code = m.Additionals[0].Header.ExtendedRCode(code)
		}
		if code != tt.code || hasOPT != tt.opt || (len(m.Answers) != 0) != (code == fine) {
			t.Errorf("%s: code %d, %+v", name, code, m)
		}
	}
	if m := f.ask(good[:len(good)-3]); m.RCode != badForm || len(m.Questions) != 0 {
		t.Errorf("torn: %+v", m)
	}
	e := f.eventually("another class's record", func(e audit.Event) bool { return e.Method == "CHAOS A" })
	if e.Host != "api.example" || e.Decision != audit.Denied || e.Rule != policy.RuleSyntax {
		t.Errorf("%+v", e)
	}
}

// What an answer repeats of its question: the bits that say so, and each letter
// as it was, by which some clients know their answers.
func TestDNSRepeatsTheQuestion(t *testing.T) {
	f := start(t, newWorld(), allow("api.example"))
	asked := altered(t, query(t, "aPi.ExAmPlE.", dnsmessage.TypeA), func(m *dnsmessage.Message) {
		m.CheckingDisabled = true
		var h dnsmessage.ResourceHeader
		if err := h.SetEDNS0(4096, dnsmessage.RCodeSuccess, true); err != nil {
			t.Fatal(err)
		}
		m.Additionals = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.OPTResource{}}}
	})
	m := f.ask(asked)
	if len(m.Answers) != 1 || m.Answers[0].Header.Name.String() != "aPi.ExAmPlE." || m.Questions[0].Name.String() != "aPi.ExAmPlE." {
		t.Errorf("%+v", m)
	}
	if !m.CheckingDisabled || !m.RecursionDesired || !m.RecursionAvailable || m.AuthenticData || m.Truncated {
		t.Errorf("%+v", m.Header)
	}
	if len(m.Additionals) != 1 || !m.Additionals[0].Header.DNSSECAllowed() || m.Additionals[0].Header.Class != dnsUDPSize {
		t.Errorf("%+v", m.Additionals)
	}
	m = f.ask(altered(t, asked, func(m *dnsmessage.Message) { m.CheckingDisabled, m.RecursionDesired = false, false }))
	if m.CheckingDisabled || m.RecursionDesired {
		t.Errorf("%+v", m.Header)
	}
}

// altered is a message with a change.
func altered(t *testing.T, message []byte, change func(*dnsmessage.Message)) []byte {
	t.Helper()
	var m dnsmessage.Message
	if err := m.Unpack(message); err != nil {
		t.Fatal(err)
	}
	change(&m)
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
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
	label := strings.Repeat("a", 63)
	f.Add(query(f, label+"."+label+"."+label+"."+label[2:]+".", dnsmessage.TypeA)) // the longest
	edns := append(query(f, "api.example.", dnsmessage.TypeA), "\x00\x00\x29\x10\x00\x00\x01\x80\x00\x00\x05\x00\x0a\x00\x01x"...)
	edns[11] = 1 // additional record: version 1, DO, an option
	f.Add(edns)
	f.Fuzz(func(t *testing.T, message []byte) {
		q, ok := parseQuestion(message)
		if !ok {
			return
		}
		b, err := q.reply(addr("127.0.0.1"))
		if err != nil {
			t.Fatalf("%x: %v", message, err)
		}
		var m dnsmessage.Message
		if err := m.Unpack(b); err != nil || !m.Response || m.ID != q.header.ID || m.RCode != q.code&0xf {
			t.Fatalf("%x: answered %x: %v", message, b, err)
		}
		if (len(m.Additionals) == 1) != q.edns.has || len(m.Answers) > 0 && q.code != dnsmessage.RCodeSuccess {
			t.Fatalf("%x: answered %+v", message, m)
		}
		if len(b) > 512 { // what any client takes over UDP
			t.Fatalf("%x: %d bytes", message, len(b))
		}
	})
}
