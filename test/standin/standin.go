// Package standin puts a local Messages API where bottles reach it, under the name of the real one, and writes the manifest that
// leads them there. With it a real agent works without a token and without a
// network.
package standin

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/moby/moby/client"

	"claude-bottle/test/engine"
	"claude-bottle/test/messagesapi"
)

// Server is a Messages API that serves until it is closed.
type Server struct {
	messagesapi.Server
	Address netip.AddrPort

	roots []byte
	close context.CancelFunc
	ended chan error
}

// Start serves at an address of this machine that the engine's containers
// reach: at port 443, else, where only root may, at any.
func Start(ctx context.Context, api *client.Client, requests *log.Logger) (*Server, error) {
	addresses, err := candidates(ctx, api)
	if err != nil {
		return nil, err
	}
	return StartAt(ctx, addresses, requests)
}

// Loopback is where the gateways of native bottles, which are processes of this
// machine, reach a server, and nobody else does.
func Loopback() []netip.Addr { return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})} }

// StartAt serves at the first of the addresses that it can.
func StartAt(ctx context.Context, addresses []netip.Addr, requests *log.Logger) (*Server, error) {
	listener, err := listen(ctx, addresses)
	if err != nil {
		return nil, err
	}
	authority, err := loadAuthority()
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	config, err := authority.TLS()
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	roots, err := machineRoots()
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &Server{
		Server:  messagesapi.Server{Log: requests},
		Address: netip.MustParseAddrPort(listener.Addr().String()),
		roots:   append(authority.PEM(), roots...), close: cancel, ended: make(chan error, 1),
	}
	go func() { s.ended <- s.Serve(ctx, listener, config) }()
	return s, nil
}

// Beside listens where bottles reach the server, for another one.
func (s *Server) Beside(ctx context.Context) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, "tcp4", netip.AddrPortFrom(s.Address.Addr(), 0).String())
}

// Close ends the server.
func (s *Server) Close() error {
	s.close()
	return <-s.ended
}

// Manifest fills in a manifest in which ADDRESS and PORT stand for the server,
// and writes it to dir with the roots that it names, ca.pem: the server's, and
// those that this machine's package clients need.
func (s *Server) Manifest(dir, manifest string) error {
	text := strings.NewReplacer("ADDRESS", s.Address.Addr().String(), "PORT", strconv.Itoa(int(s.Address.Port()))).Replace(manifest)
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "claude-bottle.yaml"), []byte(text), 0o644),
		os.WriteFile(filepath.Join(dir, "ca.pem"), s.roots, 0o644),
	)
}

// candidates are the addresses to serve at: that of the engine's default
// bridge, which is on no wire, then the machine's others.
func candidates(ctx context.Context, api *client.Client) ([]netip.Addr, error) {
	var addresses []netip.Addr
	bridge, err := api.NetworkInspect(ctx, "bridge", client.NetworkInspectOptions{})
	if err != nil {
		return nil, fmt.Errorf("find the engine's bridge: %w", err)
	}
	for _, config := range bridge.Network.IPAM.Config {
		if config.Gateway.Is4() {
			addresses = append(addresses, config.Gateway)
		}
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list the machine's addresses: %w", err)
	}
	for _, address := range own {
		prefix, err := netip.ParsePrefix(address.String())
		if err == nil && prefix.Addr().Is4() && prefix.Addr().IsGlobalUnicast() {
			addresses = append(addresses, prefix.Addr())
		}
	}
	return addresses, nil
}

func listen(ctx context.Context, addresses []netip.Addr) (net.Listener, error) {
	var errs []error
	for _, port := range []uint16{443, 0} {
		for _, address := range addresses {
			listener, err := new(net.ListenConfig).Listen(ctx, "tcp4", netip.AddrPortFrom(address, port).String())
			if err == nil {
				return listener, nil
			}
			errs = append(errs, err)
		}
	}
	return nil, fmt.Errorf("serve where bottles reach it: %w", errors.Join(errs...))
}

// loadAuthority keeps one authority, since an image that trusts it is built
// with it.
func loadAuthority() (*messagesapi.Authority, error) {
	cache, err := engine.Cache()
	if err != nil {
		return nil, err
	}
	return messagesapi.LoadAuthority(filepath.Join(cache, "authority.pem"), messagesapi.LoginName)
}

// machineRoots are the roots that this machine trusts beside the usual ones,
// as a company's network needs them.
func machineRoots() ([]byte, error) {
	paths, err := engine.ExtraRoots()
	if err != nil {
		return nil, err
	}
	var roots []byte
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read an extra root: %w", err)
		}
		roots = append(append(roots, data...), '\n')
	}
	return roots, nil
}
