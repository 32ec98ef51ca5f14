package gateway

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"claude-bottle/internal/policy"
)

// dnsServer answers questions by itself and forwards none: a name server that
// forwards is a way out (TestDNS). An allowed name has the gateway's own
// address, where ports 80 and 443 are served; everything else is refused.
type dnsServer struct {
	*server
	address netip.Addr
}

const (
	dnsTTL     = 60   // seconds; the address never changes while the gateway lives
	dnsUDPSize = 1232 // what goes unfragmented anywhere (DNS flag day 2020)
	dnsTCPIdle = 10 * time.Second
)

// servePackets answers over UDP until ctx ends.
func (d dnsServer) servePackets(ctx context.Context, pc net.PacketConn) error {
	buffer := make([]byte, 4096)
	var held sync.WaitGroup
	defer held.Wait()
	slots := make(chan struct{}, maxHeld)
	for {
		n, from, err := pc.ReadFrom(buffer)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("read DNS: %w", err)
			}
			pause(ctx) // an error of one packet, or want of memory
			continue
		}
		reply := func(message []byte) {
			if answer := d.answer(ctx, message); answer != nil {
				_, _ = pc.WriteTo(answer, from) // a client that is gone
			}
		}
		if !d.asking.attended() {
			reply(buffer[:n])
			continue
		}
		// A person may be asked, and other questions must not wait for that.
		select {
		case slots <- struct{}{}:
			message := bytes.Clone(buffer[:n])
			held.Go(func() {
				defer func() { <-slots }()
				reply(message)
			})
		default: // lost, as packets are; resolvers ask again
		}
	}
}

// serveStream answers over TCP (RFC 7766).
func (d dnsServer) serveStream(ctx context.Context, conn net.Conn) {
	for {
		if err := conn.SetDeadline(time.Now().Add(dnsTCPIdle)); err != nil {
			return
		}
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		question := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(conn, question); err != nil {
			return
		}
		answer := d.answer(ctx, question)
		if answer == nil {
			return
		}
		framed := binary.BigEndian.AppendUint16(nil, uint16(len(answer))) //nolint:gosec // G115: at most a name and an address
		if _, err := conn.Write(append(framed, answer...)); err != nil {
			return
		}
	}
}

// answer is the answer to one message, nil where none is due.
func (d dnsServer) answer(ctx context.Context, message []byte) []byte {
	q, ok := parseQuestion(message)
	if !ok {
		return nil
	}
	if q.code == dnsmessage.RCodeSuccess {
		q.code = d.judge(ctx, q)
	}
	b, err := q.reply(d.address)
	if err != nil {
		return nil
	}
	return b
}

// judge records the question and gives the answer's code.
func (d dnsServer) judge(ctx context.Context, q dnsQuestion) dnsmessage.RCode {
	name := strings.TrimSuffix(q.asked.Name.String(), ".")
	if d.trial.asks(name) {
		return dnsmessage.RCodeSuccess
	}
	r := policy.Request{Kind: policy.DNS, Host: name, Method: typeName(q.asked.Type)}
	began := time.Now()
	_, decision, waited := d.decide(ctx, r, lookupHold)
	defer func() { d.gauges.took(policy.DNS, time.Since(began)-waited) }()
	if _, literal := literalAddress(decision.Host); literal && decision.Allow {
		decision = policy.Decision{Host: decision.Host, Rule: policy.RuleSyntax, Reason: "an address has no name to look up"}
	}
	if d.hosted != "" {
		decision.Rule, decision.Reason = d.hosted, "the gateway is "+d.hosted+", whose proxy takes names; none is answered here"
	} else if decision.Allow && !d.trial.on() {
		if refused := d.nameRefused(r, decision); refused != nil {
			decision = refused.decision
		}
	}
	if !d.trial.on() && d.questions.decided(r, decision) != nil {
		return dnsmessage.RCodeServerFailure
	}
	if !decision.Allow {
		return dnsmessage.RCodeRefused
	}
	return dnsmessage.RCodeSuccess
}

func typeName(t dnsmessage.Type) string {
	return strings.TrimPrefix(t.String(), "Type")
}

// dnsQuestion is one DNS question and what to say about it.
type dnsQuestion struct {
	id    uint16
	rd    bool
	op    dnsmessage.OpCode
	asked dnsmessage.Question
	has   bool // asked is there
	edns  bool
	code  dnsmessage.RCode
}

// parseQuestion reads a message; false for what must not be answered at all
// (an answer, or less than a header).
func parseQuestion(message []byte) (dnsQuestion, bool) {
	var p dnsmessage.Parser
	header, err := p.Start(message)
	if err != nil || header.Response {
		return dnsQuestion{}, false
	}
	q := dnsQuestion{id: header.ID, rd: header.RecursionDesired, op: header.OpCode, code: dnsmessage.RCodeFormatError}
	if header.OpCode != 0 {
		q.code = dnsmessage.RCodeNotImplemented
		return q, true
	}
	asked, err := p.AllQuestions()
	if err != nil || len(asked) != 1 {
		return q, true
	}
	q.asked, q.has = asked[0], true
	if q.asked.Class != dnsmessage.ClassINET {
		q.code = dnsmessage.RCodeRefused
		return q, true
	}
	if p.SkipAllAnswers() != nil || p.SkipAllAuthorities() != nil {
		return q, true
	}
	for {
		h, err := p.AdditionalHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			q.code = dnsmessage.RCodeSuccess
			return q, true
		}
		if err != nil || p.SkipAdditional() != nil {
			return q, true
		}
		q.edns = q.edns || h.Type == dnsmessage.TypeOPT
	}
}

// reply is the answer with q's code, and with address where it is asked for.
func (q dnsQuestion) reply(address netip.Addr) ([]byte, error) {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{
		ID: q.id, Response: true, OpCode: q.op, RecursionDesired: q.rd, RecursionAvailable: true, RCode: q.code,
	})
	b.EnableCompression()
	if q.has {
		if err := errors.Join(b.StartQuestions(), b.Question(q.asked)); err != nil {
			return nil, err
		}
	}
	if q.code == dnsmessage.RCodeSuccess {
		if err := q.answerWith(&b, address); err != nil {
			return nil, err
		}
	}
	if q.edns {
		var h dnsmessage.ResourceHeader
		err := errors.Join(
			b.StartAdditionals(),
			h.SetEDNS0(dnsUDPSize, dnsmessage.RCodeSuccess, false),
			b.OPTResource(h, dnsmessage.OPTResource{}),
		)
		if err != nil {
			return nil, err
		}
	}
	return b.Finish()
}

// answerWith adds the gateway's address for its own family; every other type
// of an allowed name exists and is empty.
func (q dnsQuestion) answerWith(b *dnsmessage.Builder, address netip.Addr) error {
	h := dnsmessage.ResourceHeader{Name: q.asked.Name, Class: dnsmessage.ClassINET, TTL: dnsTTL}
	switch {
	case q.asked.Type == dnsmessage.TypeA && address.Is4():
		return errors.Join(b.StartAnswers(), b.AResource(h, dnsmessage.AResource{A: address.As4()}))
	case q.asked.Type == dnsmessage.TypeAAAA && address.Is6():
		return errors.Join(b.StartAnswers(), b.AAAAResource(h, dnsmessage.AAAAResource{AAAA: address.As16()}))
	default:
		return nil
	}
}
