// Package gateway is the one process through which a bottle reaches anything.
// It listens on one address, or on sockets that are handed to it out of a
// bottle without a network, takes requests by HTTP proxy, SOCKS5, DNS and
// plain connections to ports 80 and 443, asks package policy about each, and
// carries what is allowed to the very address that was checked. What else
// decides (packages broker and scan, budgets, decoys) can only refuse more.
// Every decision is in the record before a byte leaves; when the record cannot
// be written, nothing leaves.
//
// Everything on the bottle's side was written by an enemy: sizes, times and
// counts are bounded, and a message that two parsers could read differently
// is refused, not repaired.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/broker"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/wire"
)

// recordLimit bounds the record of one run, in bytes: what a bottle can make
// the host write. Some four million refusals.
const recordLimit = 1 << 30

// Serve is the gateway of one bottle. It reads one boot frame from stdin,
// listens on the boot frame's address and on no other, or takes the listeners
// that are handed over, writes a ready frame
// to stdout and serves until ctx ends or, when attached, stdin does. What
// keeps it from being ready, or ends it, goes to stdout as an error frame and
// is returned; an ordinary end is nil.
func Serve(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	if err := harden(); err != nil {
		return fmt.Errorf("harden gateway: %w", err)
	}
	conn := wire.NewConn(stdio{stdin, stdout})
	err := confineSelf()
	if err == nil {
		err = serve(ctx, conn, outside{}, bind)
	}
	if err != nil {
		_ = conn.WriteError(err)
	}
	return err
}

// opener gives the ways in that a boot frame asks for.
type opener func(ctx context.Context, boot wire.GatewayBoot) (listeners, error)

// bind makes them, or, for a bottle without a network, waits for its guest to
// hand them over.
func bind(ctx context.Context, boot wire.GatewayBoot) (listeners, error) {
	if boot.Handover == nil {
		return listenBottle(ctx, boot.Address, boot.Ports)
	}
	return receive(ctx, boot)
}

func serve(ctx context.Context, conn *wire.Conn, out outside, open opener) error {
	boot, err := readBoot(conn)
	if err != nil {
		return err
	}
	s, err := newServer(boot.Policy, boot.Run, boot.Record, append(boot.HostAddresses, boot.Address), out)
	if err != nil {
		return err
	}
	if s.inspector, err = newInspector(boot.CA, trustOf(boot.Policy, boot.SystemRoots), s.limits.connections); err != nil {
		return errors.Join(err, s.close())
	}
	if s.broker, err = newBroker(boot.Policy.Secrets, boot.Secrets); err != nil {
		return errors.Join(err, s.close())
	}
	turns := newTurns(conn.WriteJSON)
	s.newRenewers(boot.Secrets, turns)
	s.watchFor(boot.Watch, s.broker)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var ready wire.GatewayReady
	if boot.Word != "" {
		if err := s.try(ctx, boot); err != nil {
			return errors.Join(err, s.close())
		}
		ready.Canaries = s.trial.canaries
	}
	defer s.trial.end()
	if boot.Word == "" {
		close(turns.settled)
	}
	go func() { // ends with stdin, or with the process
		err := s.control(ctx, conn, turns)
		turns.left()
		if boot.Attached || errors.Is(err, wire.ErrProtocol) {
			cancel()
		}
	}()
	ls, err := open(ctx, boot)
	if err != nil {
		return errors.Join(err, s.close())
	}
	if err := s.listenForPeople(ls, boot); err != nil {
		ls.close()
		return errors.Join(err, s.close())
	}
	if err := conn.WriteJSON(wire.KindReady, ready); err != nil {
		ls.close()
		return errors.Join(err, s.close())
	}
	return s.serve(ctx, ls)
}

func readBoot(conn *wire.Conn) (boot wire.GatewayBoot, err error) {
	f, err := conn.Read()
	if err != nil {
		return boot, fmt.Errorf("read boot frame: %w", err)
	}
	if f.Kind != wire.KindGatewayBoot {
		return boot, fmt.Errorf("read boot frame: %w: %v frame", wire.ErrProtocol, f.Kind)
	}
	if err := f.Decode(&boot); err != nil {
		return boot, err
	}
	if !boot.Address.IsValid() || boot.Address.IsUnspecified() {
		return boot, errors.New("the boot frame names no address to listen on")
	}
	return boot, nil
}

// listenForPeople opens the control stream, if there is to be one.
func (s *server) listenForPeople(ls listeners, boot wire.GatewayBoot) (err error) {
	switch {
	case ls.control != nil:
		s.desk = s.newDesk(ls.control, boot.ControlUID)
	case boot.Control != "":
		s.desk, err = s.openDesk(boot.Control, boot.ControlUID)
	}
	return err
}

// Options are those of the gateway by itself.
type Options struct {
	Policy policy.Egress
	// Listen is the address of the proxy, host:port.
	Listen string
	// Record is the path of the record file.
	Record string
	// Control is the path of the control stream's socket, for this uid alone;
	// empty is none.
	Control string
	// CACert is the path that the certificate of the authority is written to
	// by which TLS is inspected; empty for a gateway that inspects nothing.
	CACert string
	// Secrets are those that the policy names.
	Secrets []broker.Secret
	// Ready, if set, is called once with the address that is listened on.
	Ready func(net.Addr)
}

// ListenAndServe is the gateway by itself: a proxy that speaks HTTP and SOCKS5
// on one address, for whatever reaches that address. It serves until ctx ends.
func ListenAndServe(ctx context.Context, opts Options) error {
	if err := harden(); err != nil {
		return fmt.Errorf("harden gateway: %w", err)
	}
	s, err := newServer(opts.Policy, "", opts.Record, nil, outside{})
	if err != nil {
		return err
	}
	if opts.Control != "" {
		if err := removeStale(ctx, opts.Control); err != nil {
			return errors.Join(fmt.Errorf("listen for control: %w", err), s.close())
		}
		if s.desk, err = s.openDesk(opts.Control, os.Getuid()); err != nil {
			return errors.Join(err, s.close())
		}
	}
	if err := s.makeAuthority(opts); err != nil {
		return errors.Join(err, s.close())
	}
	if s.broker, err = newBroker(opts.Policy.Secrets, opts.Secrets); err != nil {
		return errors.Join(err, s.close())
	}
	s.watchFor(nil, s.broker)
	l, err := listenConfig().Listen(ctx, "tcp", opts.Listen)
	if err != nil {
		return errors.Join(fmt.Errorf("listen: %w", err), s.close())
	}
	if opts.Ready != nil {
		opts.Ready(l.Addr())
	}
	return s.serve(ctx, listeners{proxy: l})
}

// newServer makes a server that owns its record.
func newServer(egress policy.Egress, run, record string, own []netip.Addr, out outside) (*server, error) {
	p, err := policy.Compile(egress)
	if err != nil {
		return nil, err
	}
	w, err := audit.OpenWriter(record, recordLimit)
	if err != nil {
		return nil, err
	}
	j := &journal{writer: w, path: record, run: run}
	s := &server{
		signing:   make(chan struct{}, maxSigning),
		journal:   j,
		own:       &ownAddresses{fixed: own},
		out:       out.withDefaults(),
		limits:    defaultLimits(),
		questions: questions{journal: j},
	}
	s.rules.Store(p)
	s.watchFor(nil, s.broker)
	s.budgets.total.limit.Store(p.Budget())
	s.live.base = egress
	j.counted = s.gauges.counted
	return s, nil
}

// listeners are the ways in; those that are nil are not there.
type listeners struct {
	proxy, socks, http, tls net.Listener
	dnsTCP                  net.Listener
	dnsUDP                  net.PacketConn
	address                 netip.Addr // what DNS answers with
	control                 *net.UnixListener
}

// listenBottle binds every port on address alone: which interface is which
// varies, and a listener on the egress leg would lend the gateway to
// everybody there (TestOneAddress).
func listenBottle(ctx context.Context, address netip.Addr, ports wire.Ports) (listeners, error) {
	ls, err := listenNames(ctx, address, ports.DNS)
	tcp := func(port int) net.Listener {
		if err != nil {
			return nil
		}
		var l net.Listener
		l, err = listenConfig().Listen(ctx, "tcp", hostPort(address, port))
		return l
	}
	ls.proxy, ls.http, ls.tls = tcp(ports.Proxy), tcp(ports.HTTP), tcp(ports.TLS)
	if ports.SOCKS != 0 {
		ls.socks = tcp(ports.SOCKS)
	}
	if err != nil {
		ls.close()
		return listeners{}, fmt.Errorf("listen: %w", err)
	}
	return ls, nil
}

// listenNames binds the port for questions alone.
func listenNames(ctx context.Context, address netip.Addr, port int) (ls listeners, err error) {
	ls.address = address
	if ls.dnsTCP, err = listenConfig().Listen(ctx, "tcp", hostPort(address, port)); err != nil {
		return ls, err
	}
	ls.dnsUDP, err = listenConfig().ListenPacket(ctx, "udp", hostPort(address, port))
	return ls, err
}

// listenConfig leaves multipath TCP, which Go listens with by default, to
// those who have two paths, and keep-alive probes to those whose clients are
// far away: it is six calls a connection.
func listenConfig() *net.ListenConfig {
	lc := net.ListenConfig{KeepAlive: -1}
	lc.SetMultipathTCP(false)
	return &lc
}

func (ls listeners) close() {
	for _, c := range []io.Closer{ls.proxy, ls.socks, ls.http, ls.tls, ls.dnsTCP, ls.dnsUDP} {
		if c != nil {
			c.Close()
		}
	}
}

func hostPort(addr netip.Addr, port int) string {
	return net.JoinHostPort(addr.String(), strconv.Itoa(port))
}

// stdio is the boot stream.
type stdio struct {
	io.Reader
	io.Writer
}

func (s stdio) Close() error {
	var errs []error
	for _, end := range []any{s.Reader, s.Writer} {
		if c, ok := end.(io.Closer); ok {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(errs...)
}
