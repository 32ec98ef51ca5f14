package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// Canary says a word to whoever connects to it, or sends it anything, and does
// nothing else. It is what a check of an address can reach.
type Canary struct {
	word    []byte
	tcp     net.Listener
	udp     []datagrams
	serving sync.WaitGroup

	overheard atomic.Int64 // datagrams to everybody
}

// portAttempts bounds the search for a port that is free over both protocols.
const portAttempts = 16

// canaryPatience is how long one visitor may take to listen.
const canaryPatience = time.Second

// Listen makes a canary on an address, or on every address of the machine when
// that is unspecified, on a port of the kernel's choice.
func Listen(ctx context.Context, address netip.Addr, word string) (*Canary, error) {
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	for range portAttempts {
		tcp, err := config.Listen(ctx, "tcp", netip.AddrPortFrom(address, 0).String())
		if err != nil {
			return nil, fmt.Errorf("listen: %w", err)
		}
		c := &Canary{word: []byte(word), tcp: tcp}
		err = c.bindDatagrams(ctx, &config, address)
		if err == nil {
			c.serving.Go(c.accept)
			for _, udp := range c.udp {
				c.serving.Go(func() { c.answer(udp) })
			}
			return c, nil
		}
		_ = c.Close()
		if !errors.Is(err, syscall.EADDRINUSE) {
			return nil, fmt.Errorf("listen: %w", err)
		}
	}
	return nil, errors.New("listen: no port is free over both TCP and UDP")
}

// bindDatagrams takes the port over UDP, with a socket for each family.
func (c *Canary) bindDatagrams(ctx context.Context, config *net.ListenConfig, address netip.Addr) error {
	bind := map[string]netip.Addr{"udp4": address}
	if address.Is6() {
		bind = map[string]netip.Addr{"udp6": address}
		if address.IsUnspecified() {
			bind["udp4"] = netip.IPv4Unspecified()
		}
	}
	for network, at := range bind {
		conn, err := config.ListenPacket(ctx, network, netip.AddrPortFrom(at, c.Port()).String())
		if err != nil {
			return err
		}
		udp, err := newDatagrams(conn)
		c.udp = append(c.udp, udp)
		if err != nil {
			return err
		}
	}
	return nil
}

// Port is the canary's, over TCP and UDP.
func (c *Canary) Port() uint16 {
	return c.tcp.Addr().(*net.TCPAddr).AddrPort().Port()
}

// Close ends it, and whoever listens to it.
func (c *Canary) Close() error {
	err := c.tcp.Close()
	for _, udp := range c.udp {
		err = errors.Join(err, udp.Close())
	}
	c.serving.Wait()
	return err
}

func (c *Canary) accept() {
	for {
		conn, err := c.tcp.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		_ = conn.SetWriteDeadline(time.Now().Add(canaryPatience))
		_, _ = conn.Write(c.word) // a few bytes: they fit the buffer of any connection
		_ = conn.Close()
	}
}

// answer answers datagrams from the address that they were sent to: any other,
// which the kernel would choose on a machine that has several, is nobody to
// the one who asked.
func (c *Canary) answer(udp datagrams) {
	buffer := make([]byte, 64)
	for {
		n, to, from, err := udp.receive(buffer)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
		case string(buffer[:n]) == toEverybody(string(c.word)):
			c.overheard.Add(1)
		default:
			udp.send(c.word, to, from)
		}
	}
}

// datagrams is a UDP socket that knows where a datagram was sent to. The
// kernel has another way to ask for each family.
type datagrams struct {
	net.PacketConn
	four *ipv4.PacketConn // nil for one that takes both
	six  *ipv6.PacketConn
}

func newDatagrams(conn net.PacketConn) (datagrams, error) {
	if at := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr(); at.Is4() {
		d := datagrams{PacketConn: conn, four: ipv4.NewPacketConn(conn)}
		return d, d.four.SetControlMessage(ipv4.FlagDst, true)
	}
	d := datagrams{PacketConn: conn, six: ipv6.NewPacketConn(conn)}
	return d, d.six.SetControlMessage(ipv6.FlagDst, true)
}

func (d datagrams) receive(buffer []byte) (n int, to net.IP, from net.Addr, err error) {
	if d.four != nil {
		n, control, from, err := d.four.ReadFrom(buffer)
		if err != nil || control == nil {
			return n, nil, from, err
		}
		return n, control.Dst, from, nil
	}
	n, control, from, err := d.six.ReadFrom(buffer)
	if err != nil || control == nil {
		return n, nil, from, err
	}
	return n, control.Dst, from, nil
}

// send may fail: then nobody hears the canary, which a control notices.
func (d datagrams) send(word []byte, source net.IP, to net.Addr) {
	if d.four != nil {
		_, _ = d.four.WriteTo(word, &ipv4.ControlMessage{Src: source}, to)
		return
	}
	_, _ = d.six.WriteTo(word, &ipv6.ControlMessage{Src: source}, to)
}

// Hear asks a canary over TCP and UDP for its word.
func Hear(ctx context.Context, at netip.AddrPort, word string) error {
	for _, network := range []string{"tcp", "udp"} {
		if err := hear(ctx, network, at, word); err != nil {
			return fmt.Errorf("%s %s: %w", at, network, err)
		}
	}
	return nil
}

func hear(ctx context.Context, network string, at netip.AddrPort, word string) error {
	conn, err := new(net.Dialer).DialContext(ctx, network, at.String())
	if err != nil {
		return errors.New(reason(err))
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if network == "udp" {
		if _, err := conn.Write([]byte("?")); err != nil {
			return errors.New(reason(err))
		}
	}
	said := make([]byte, len(word)+1)
	n, err := conn.Read(said)
	switch {
	case err != nil:
		return errors.New(reason(err))
	case string(said[:n]) != word:
		return errors.New("somebody else is there")
	}
	return nil
}
