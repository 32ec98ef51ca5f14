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
	r := policy.Request{Kind: policy.DNS, Host: name, Method: q.kind()}
	if q.asked.Class != dnsmessage.ClassINET {
		return d.refuseClass(r)
	}
	if d.trial.asks(name) {
		return dnsmessage.RCodeSuccess
	}
	began := time.Now()
	_, decision, waited := d.decide(ctx, r, began.Add(lookupHold))
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

// refuseClass records a question about another internet than the one.
func (d dnsServer) refuseClass(r policy.Request) dnsmessage.RCode {
	host := d.policy().Decide(r).Host // as every line has it
	refused := policy.Decision{Host: host, Rule: policy.RuleSyntax, Reason: "names are looked up in class IN alone"}
	if !d.trial.on() && d.questions.decided(r, refused) != nil {
		return dnsmessage.RCodeServerFailure
	}
	return dnsmessage.RCodeRefused
}
