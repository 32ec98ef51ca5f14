package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/probe"
	"claude-bottle/internal/wire"
)

// trial is the time before a bottle is ready, while its launcher proves that
// it is closed. Nothing of the agent's runs yet: what is asked of the gateway
// is the probe's, so it is decided as ever, but nothing is carried, looked up
// or recorded (TestTrial). On each leg but the bottle's a canary says the
// launch's word, and shows that a check of that leg could see it.
//
// A nil trial is over.
type trial struct {
	word      string
	canaries  []wire.Canary
	listeners []netip.AddrPort // all of the gateway's, canaries included
	process   string           // in /proc, of who serves

	ended   atomic.Bool
	mu      sync.Mutex // guards singing
	singing []*probe.Canary
}

// on says that the trial is not over.
func (t *trial) on() bool { return t != nil && !t.ended.Load() }

// asks says whether a question is the probe's own, for a name that this
// gateway alone knows. It stays so: an engine may pass one on after the trial,
// and any other answer would then be somebody else's.
func (t *trial) asks(name string) bool { return t != nil && name == probe.CanaryName(t.word) }

// try puts the gateway on trial.
func (s *server) try(ctx context.Context, boot wire.GatewayBoot) (err error) {
	s.trial, err = beginTrial(ctx, boot)
	s.journal.trial = s.trial
	return err
}

// beginTrial puts a canary on each of the machine's addresses but the
// bottle's.
func beginTrial(ctx context.Context, boot wire.GatewayBoot) (*trial, error) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list the gateway's addresses: %w", err)
	}
	t := &trial{word: boot.Word, process: "self"}
	if boot.Handover == nil { // else they are in the bottle's namespace, and none in this
		for _, port := range boot.Ports.All() {
			t.listeners = append(t.listeners, netip.AddrPortFrom(boot.Address, uint16(port))) //nolint:gosec // G115: a port
		}
	}
	if boot.OnHost {
		return t, nil
	}
	for _, address := range addresses {
		leg, err := netip.ParsePrefix(address.String())
		if err != nil || leg.Addr().IsLoopback() || leg.Addr().IsLinkLocalUnicast() || leg.Addr() == boot.Address {
			continue
		}
		canary, err := probe.Listen(ctx, leg.Addr(), boot.Word)
		if err != nil {
			t.end()
			return nil, fmt.Errorf("make the canary on %s: %w", leg.Addr(), err)
		}
		t.singing = append(t.singing, canary)
		t.canaries = append(t.canaries, wire.Canary{Leg: leg, Port: canary.Port()})
		t.listeners = append(t.listeners, netip.AddrPortFrom(leg.Addr(), canary.Port()))
	}
	return t, nil
}

// end closes the canaries. What comes from then on is carried.
func (t *trial) end() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, canary := range t.singing {
		_ = canary.Close()
	}
	t.singing = nil
	t.ended.Store(true)
}

// ruleTrial is the rule of what is refused because the bottle is not ready.
const ruleTrial = "trial"

// refuse is what an allowed request gets while the trial is on.
func (t *trial) refuse(r policy.Request) *refusal {
	return &refusal{
		status: http.StatusServiceUnavailable, outcome: audit.Denied, port: r.Port,
		decision: policy.Decision{Host: r.Host, Rule: ruleTrial, Reason: "the bottle is still being proved; try again"},
	}
}

// control answers the launcher until the stream ends or says what it may not.
func (s *server) control(ctx context.Context, conn *wire.Conn, turns *turns) error {
	for {
		f, err := conn.Read()
		if err != nil {
			return err
		}
		switch {
		case f.Kind == wire.KindProbe && s.trial.on():
			var p wire.GatewayProbe
			if err := f.Decode(&p); err != nil {
				return err
			}
			if err := conn.WriteJSON(wire.KindProbed, probe.Gateway(ctx, p, s.trial.canaries, s.trial.word, s.trial.listeners, s.trial.process)); err != nil {
				return err
			}
		case f.Kind == wire.KindSettle && s.trial.on():
			if err := s.settle(conn, f); err != nil {
				return errors.Join(err, conn.WriteError(err))
			}
			close(turns.settled)
		case f.Kind == wire.KindTurn:
			if err := turns.granted(f); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%w: %v frame", wire.ErrProtocol, f.Kind)
		}
	}
}

// settle ends the trial and records it, before anything else can be recorded.
func (s *server) settle(conn *wire.Conn, f wire.Frame) error {
	var settle wire.Settle
	if err := f.Decode(&settle); err != nil {
		return err
	}
	err := s.journal.writer.Append(audit.Event{
		Time: time.Now(), Run: s.journal.run, Kind: audit.Isolation,
		Decision: audit.Allowed, Rule: "probe", Reason: settle.Summary,
	})
	if err != nil {
		return err
	}
	s.trial.end()
	return conn.WriteJSON(wire.KindReady, struct{}{})
}
