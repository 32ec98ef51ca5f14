package messagesapi

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Name is the host that agents expect to speak the Messages API.
const Name = "api.anthropic.com"

// Serve answers on listener, over TLS when config is not nil, until ctx ends.
// It owns the listener.
func (s *Server) Serve(ctx context.Context, listener net.Listener, config *tls.Config) error {
	if config != nil {
		config = config.Clone()
		config.NextProtos = []string{"h2", "http/1.1"}
		listener = tls.NewListener(listener, config)
	}
	server := &http.Server{Handler: s, TLSConfig: config, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the Messages API: %w", err)
	}
	return nil
}
