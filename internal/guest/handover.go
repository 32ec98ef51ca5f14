//go:build linux

package guest

import (
	"context"
	"time"

	"claude-bottle/internal/handover"
	"claude-bottle/internal/wire"
)

// handoverLimit is how long a gateway may take to wait for what the guest
// hands over: it starts beside the guest, on a machine as busy as it may be.
const handoverLimit = 2 * time.Minute

// handOver opens the ways in and hands them to the gateway, for a bottle that
// has no network. It says once how that went; a bottle with a network has
// nothing to hand over. ctx ends it.
func handOver(ctx context.Context, h *wire.Handover) <-chan error {
	handed := make(chan error, 1)
	if h == nil {
		handed <- nil
		return handed
	}
	go func() {
		ctx, cancel := context.WithTimeout(ctx, handoverLimit)
		defer cancel()
		handed <- openAndSend(ctx, h)
	}()
	return handed
}

func openAndSend(ctx context.Context, h *wire.Handover) error {
	sockets, err := handover.Open(h.Address, h.Ports)
	if err != nil {
		return err
	}
	defer sockets.Close()
	conn, err := handover.Dial(ctx, h.Path)
	if err != nil {
		return err
	}
	return sockets.Send(ctx, conn, h.Nonce)
}
