package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// exchange sends one frame and reads the one that answers it.
func (c *Conn) exchange(ctx context.Context, ask Kind, question any, want Kind, answer any) error {
	stop := c.CloseOn(ctx)
	defer stop()
	err := func() error {
		if err := c.WriteJSON(ask, question); err != nil {
			return err
		}
		f, err := c.Read()
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return errors.New("it ended")
		case err != nil:
			return err
		case f.Kind == KindError:
			return remoteError(f)
		case f.Kind != want:
			return fmt.Errorf("%w: %v frame instead of %v", ErrProtocol, f.Kind, want)
		case answer == nil:
			return nil
		}
		return f.Decode(answer)
	}()
	if !stop() { // ctx ended: the stream is being closed, whatever came of it
		return context.Cause(ctx)
	}
	return err
}
