package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// GatewayClient speaks to a gateway over the stream that started it.
type GatewayClient struct {
	conn  *Conn
	ready GatewayReady
	// Turn, if set, is called when the gateway wants to renew a login, and
	// returns it as it is kept, once no other run renews it. Renewed, if set, is
	// called with what became of each turn that it gave. Both are set before
	// Wait, during which they are called.
	Turn    func(ctx context.Context, name string) (login string, err error)
	Renewed func(Renewed)

	turns turns
}

// NewGatewayClient takes ownership of rwc.
func NewGatewayClient(rwc io.ReadWriteCloser) *GatewayClient {
	return &GatewayClient{conn: NewConn(rwc)}
}

// Boot hands the boot frame over and waits until the gateway listens. What
// the gateway says that failed is a *RemoteError. When ctx ends first, the
// stream is closed, which ends an attached gateway.
func (c *GatewayClient) Boot(ctx context.Context, boot GatewayBoot) error {
	stop := c.conn.CloseOn(ctx)
	defer stop()
	err := c.boot(boot)
	if !stop() { // ctx ended: the stream is being closed, whatever came of it
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("boot gateway: %w", err)
	}
	return nil
}

func (c *GatewayClient) boot(boot GatewayBoot) error {
	// A gateway that fails before it has read the whole frame says why; that
	// is worth more than the broken pipe.
	sent := c.conn.WriteJSON(KindGatewayBoot, boot)
	f, err := c.conn.Read()
	switch {
	case err != nil && sent != nil:
		return sent
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("it ended before it was ready")
	case err != nil:
		return err
	case f.Kind == KindError:
		return remoteError(f)
	case f.Kind != KindReady:
		return fmt.Errorf("%w: %v frame instead of ready", ErrProtocol, f.Kind)
	case len(f.Payload) == 0:
		return nil
	}
	return f.Decode(&c.ready)
}

// Wait blocks until the gateway ends, after Boot, and says what it said, if
// anything: a *RemoteError, or nil for a stream that just ended.
func (c *GatewayClient) Wait() error {
	defer c.leave()
	f, err := c.conn.Read()
	for err == nil {
		switch f.Kind {
		case KindRenew:
			err = c.renew(f)
		case KindRenewed:
			err = c.renewed(f)
		default:
			return c.last(f)
		}
		if err == nil {
			f, err = c.conn.Read()
		}
	}
	if errors.Is(err, ErrProtocol) {
		return err
	}
	return nil
}

// last is what a gateway at work said that ends it.
func (c *GatewayClient) last(f Frame) error {
	if f.Kind == KindError {
		return remoteError(f)
	}
	return fmt.Errorf("%w: %v frame from a gateway at work", ErrProtocol, f.Kind)
}

// Close ends the stream; with that of an attached gateway, the gateway.
func (c *GatewayClient) Close() error { return c.conn.Close() }
