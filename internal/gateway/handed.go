package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"claude-bottle/internal/handover"
	"claude-bottle/internal/wire"
)

// Handed is how a gateway that has no leg in its bottle gets its ways in: as
// sockets that were opened inside, by the peer of a socketpair.
type Handed struct {
	// Conn is the gateway's end.
	Conn *net.UnixConn
	// UID made the socketpair.
	UID int
	// Control, if set, is the socket to listen on for control streams; the
	// boot frame names the uid that may speak there. It is taken over.
	Control *os.File
	// Confine, if set, is called when the boot frame was not read yet and
	// nothing of the bottle's was: what it leaves open is all that the process
	// will ever open.
	Confine func() error
}

// ServeHanded is Serve for a gateway whose ways in are handed over: the boot
// frame's word is the handover's nonce, its address and ports are what the
// sockets must be bound to.
func ServeHanded(ctx context.Context, stdin io.Reader, stdout io.Writer, handed Handed) error {
	if err := harden(); err != nil {
		return fmt.Errorf("harden gateway: %w", err)
	}
	conn := wire.NewConn(stdio{stdin, stdout})
	err := error(nil)
	if handed.Confine != nil {
		err = handed.Confine()
	}
	if err == nil {
		err = confineSelf()
	}
	if err == nil {
		err = serve(ctx, conn, outside{}, handed.open)
	}
	if err != nil {
		_ = conn.WriteError(err)
	}
	return err
}

// open takes the ways in.
func (h Handed) open(ctx context.Context, boot wire.GatewayBoot) (listeners, error) {
	if boot.Word == "" {
		return listeners{}, errors.New("the boot frame has no word to hand the ways in over by")
	}
	set, err := handover.Receive(ctx, h.Conn, handover.Want{
		Nonce: boot.Word, UID: h.UID, Address: boot.Address, Ports: boot.Ports,
	})
	if err != nil {
		return listeners{}, err
	}
	ls := listenersOf(set, boot)
	if h.Control == nil {
		return ls, nil
	}
	defer h.Control.Close()
	l, err := net.FileListener(h.Control)
	if err != nil {
		ls.close()
		return listeners{}, fmt.Errorf("listen for control: %w", err)
	}
	control, ok := l.(*net.UnixListener)
	if !ok {
		l.Close()
		ls.close()
		return listeners{}, errors.New("listen for control: that is no unix socket")
	}
	control.SetUnlinkOnClose(false) // the file is the launcher's
	ls.control = control
	return ls, nil
}

// receive waits for a guest that shares a directory with the gateway, and runs
// under its uid.
func receive(ctx context.Context, boot wire.GatewayBoot) (listeners, error) {
	door, err := handover.Listen(boot.Handover.Path)
	if err != nil {
		return listeners{}, err
	}
	set, err := door.Receive(ctx, handover.Want{
		Nonce: boot.Handover.Nonce, UID: os.Getuid(), Address: boot.Address, Ports: boot.Ports,
	})
	if err != nil {
		return listeners{}, err
	}
	return listenersOf(set, boot), nil
}

func listenersOf(set *handover.Set, boot wire.GatewayBoot) listeners {
	return listeners{
		proxy: set.Proxy, socks: set.SOCKS, http: set.HTTP, tls: set.TLS,
		dnsTCP: set.DNS, dnsUDP: set.Packets, address: boot.Address,
	}
}
