//go:build linux

package guest

import (
	"context"
	"fmt"
	"io"
	"net"
)

// Dial carries one conversation between its streams and the guest's socket,
// for a launcher whose engine gives it a stream to a process inside. The end
// of stdin is told to the guest; Dial returns when the guest closes, stdout
// breaks or ctx ends. It does not wait for a stdin that blocks, so the process
// must exit then.
func Dial(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	return dial(ctx, Socket, stdin, stdout)
}

func dial(ctx context.Context, name string, stdin io.Reader, stdout io.Writer) error {
	var dialer net.Dialer
	peer, err := dialer.DialContext(ctx, "unix", name)
	if err != nil {
		return fmt.Errorf("reach the guest: %w", err)
	}
	conn := peer.(*net.UnixConn)
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	go func() {
		_, _ = io.Copy(conn, stdin)
		_ = conn.CloseWrite()
	}()
	if _, err := io.Copy(stdout, conn); err != nil {
		return fmt.Errorf("carry the conversation: %w", err)
	}
	return ctx.Err()
}
