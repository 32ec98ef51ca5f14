package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// Canary says a word to whoever connects to it, or sends it anything, and does
// nothing else. It is what a check of an address can reach.
type Canary struct {
	word    []byte
	tcp     net.Listener
	udp     net.PacketConn
	serving sync.WaitGroup
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
		udp, err := config.ListenPacket(ctx, "udp", tcp.Addr().String())
		if errors.Is(err, syscall.EADDRINUSE) {
			_ = tcp.Close()
			continue
		}
		if err != nil {
			_ = tcp.Close()
			return nil, fmt.Errorf("listen: %w", err)
		}
		c := &Canary{word: []byte(word), tcp: tcp, udp: udp}
		c.serving.Go(c.accept)
		c.serving.Go(c.answer)
		return c, nil
	}
	return nil, fmt.Errorf("listen: no port is free over both TCP and UDP")
}

// Port is the canary's, over TCP and UDP.
func (c *Canary) Port() uint16 {
	return c.tcp.Addr().(*net.TCPAddr).AddrPort().Port()
}

// Close ends it, and whoever listens to it.
func (c *Canary) Close() error {
	err := errors.Join(c.tcp.Close(), c.udp.Close())
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

func (c *Canary) answer() {
	buffer := make([]byte, 64)
	for {
		_, from, err := c.udp.ReadFrom(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			_, _ = c.udp.WriteTo(c.word, from)
		}
	}
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
