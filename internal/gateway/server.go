package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"claude-bottle/internal/broker"
	"claude-bottle/internal/idle"
	"claude-bottle/internal/policy"
)

// server is one gateway at work.
type server struct {
	rules   atomic.Pointer[policy.Policy]
	journal *journal
	trial   *trial // nil for a gateway that is not on trial
	own     *ownAddresses
	out     outside
	limits  limits
	// inspector sees into TLS; nil for a gateway without an authority.
	inspector *inspector
	broker    *broker.Broker // nil for a run without secrets
	renewers  []*renewer     // of the secrets that expire

	watch  *watch
	sealed atomic.Pointer[refusal] // set once a decoy was on its way out

	questions questions
	live      live
	asking    asking
	budgets   budgets
	desk      *desk  // nil for a gateway that nobody controls
	hosted    string // the program that is the gateway; empty for this one
	gauges    gauges
	rest      rest

	slots    chan struct{} // one per client connection
	large    chan struct{} // one per exchange with a large head
	holding  chan struct{} // one per body that is held to be signed
	signing  chan struct{} // one per body whose chunks are
	conduits *conduits
	clients  sync.WaitGroup

	mu       sync.Mutex // guards the rest but ids
	conns    map[net.Conn]leg
	waiting  waiting
	passages map[*passage]struct{}
	ended    bool

	ids atomic.Uint64
}

// policy is the one in force.
func (s *server) policy() *policy.Policy { return s.rules.Load() }

// serve takes ownership of ls and of the record. It returns when ctx ended and
// every connection is closed, or when a listener broke.
func (s *server) serve(ctx context.Context, ls listeners) error {
	s.slots = make(chan struct{}, s.limits.connections)
	s.large = make(chan struct{}, largeHeads)
	s.holding = make(chan struct{}, maxHolding)
	s.conduits = newConduits()
	s.conns = map[net.Conn]leg{}
	s.passages = map[*passage]struct{}{}
	s.journal.broken = s.cut
	idle.Thrift()
	defer s.rest.begin(idle.Release)()

	group, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, func() {
		ls.close()
		s.end()
	})
	defer stop()
	for l, serve := range map[net.Listener]func(context.Context, net.Conn){
		ls.proxy:  s.serveProxy,
		ls.http:   s.servePlainHTTP,
		ls.tls:    s.servePlainTLS,
		ls.socks:  s.serveProxy,
		ls.dnsTCP: dnsServer{s, ls.address}.serveStream,
	} {
		if l != nil {
			group.Go(func() error { return s.accept(ctx, l, serve) })
		}
	}
	if ls.dnsUDP != nil {
		group.Go(func() error { return dnsServer{s, ls.address}.servePackets(ctx, ls.dnsUDP) })
	}
	if s.desk != nil {
		group.Go(func() error { return s.desk.serve(ctx) })
	}
	if s.broker != nil {
		group.Go(func() error { // building takes some times what is built
			s.broker.Warm()
			s.rest.putOff()
			return nil
		})
	}
	for _, r := range s.renewers {
		group.Go(func() error { r.run(ctx); return nil })
	}
	err := group.Wait()
	s.clients.Wait()
	s.conduits.close()
	s.endLive()
	s.questions.flush()
	return errors.Join(err, s.close())
}

// accept runs serve for each connection of l until ctx ends. Beyond the limit
// the connection that has waited longest without asking for anything makes
// room; where all are at work the fresh one is closed. So who hogs them all
// keeps nobody out, and the gateway stays within its descriptors
// (TestConnectionHog, TestManyIdleClients).
func (s *server) accept(ctx context.Context, l net.Listener, serve func(context.Context, net.Conn)) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if passing(ctx, err) {
				continue
			}
			return fmt.Errorf("accept: %w", err)
		}
		select {
		case s.slots <- struct{}{}:
		default:
			if !s.makeRoom(ctx) {
				conn.Close()
				continue
			}
		}
		if !s.track(conn, bottleSide) {
			<-s.slots
			continue
		}
		s.clients.Go(func() {
			defer func() { <-s.slots }()
			defer s.drop(conn)
			serve(ctx, conn)
		})
	}
}

// leg is the side of a connection.
type leg int

const (
	bottleSide leg = iota
	worldSide
	renewalSide // worldSide's, to the endpoint that renews a login
)

// track registers a connection, so that cut and the end close it. When the
// gateway has ended already it closes conn and says false.
func (s *server) track(conn net.Conn, side leg) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || side == worldSide && s.sealed.Load() != nil {
		conn.Close()
		return false
	}
	s.conns[conn] = side
	if side == bottleSide {
		s.waiting.add(conn)
	}
	return true
}

// drop closes a tracked connection.
func (s *server) drop(conn net.Conn) {
	conn = socket(conn)
	s.mu.Lock()
	delete(s.conns, conn)
	s.waiting.remove(conn)
	s.mu.Unlock()
	conn.Close()
	s.rest.putOff()
}

// spare keeps a connection from cut: nothing of the bottle's is on it, and its
// answer is needed, since the question made the former login worthless. One
// that was cut already stays so, before its question was asked.
func (s *server) spare(conn net.Conn) {
	conn = socket(conn)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, tracked := s.conns[conn]; tracked {
		s.conns[conn] = renewalSide
	}
}

// cut closes every connection to the world, and with them whatever is carried:
// the record cannot be written, so nothing may go on. Clients stay, to be told
// (TestRecordFullCutsTunnels).
func (s *server) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn, side := range s.conns {
		if side == worldSide {
			conn.Close()
		}
	}
}

// end closes every connection, and those to come, but lets a renewal that is
// under way have its answer ([turns.grace]).
func (s *server) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	for conn, side := range s.conns {
		if side != renewalSide {
			conn.Close()
		}
	}
}

// close gives up the record and the control stream.
func (s *server) close() error {
	if s.desk != nil {
		s.desk.listener.Close()
	}
	return s.journal.writer.Close()
}
