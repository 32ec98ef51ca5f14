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
	// Renewed, if set, is called from Wait with each login that the gateway
	// renewed. It is set before Wait.
	Renewed func(Renewed)
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
	f, err := c.conn.Read()
	for err == nil && f.Kind == KindRenewed {
		var renewed Renewed
		if err := f.Decode(&renewed); err != nil {
			return err
		}
		if c.Renewed != nil {
			c.Renewed(renewed)
		}
		f, err = c.conn.Read()
	}
	switch {
	case err != nil && errors.Is(err, ErrProtocol):
		return err
	case err != nil:
		return nil
	case f.Kind == KindError:
		return remoteError(f)
	default:
		return fmt.Errorf("%w: %v frame from a gateway at work", ErrProtocol, f.Kind)
	}
}

// Close ends the stream; with that of an attached gateway, the gateway.
func (c *GatewayClient) Close() error { return c.conn.Close() }
