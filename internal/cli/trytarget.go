package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"claude-bottle/internal/attack"
	"claude-bottle/internal/bottle"
	"claude-bottle/internal/harness"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/probe"
	"claude-bottle/internal/wire"
)

// Names of a bare bottle's world, of a domain that nobody has (RFC 2606).
const (
	allowedName = "allowed.example"
	allowedPort = 8080 // of a host that is not asked
	trapName    = "trap.example"
	refusedName = "not-allowed.example"
)

// target is what a bottle attacks: what there is on this computer, each shown
// to be there.
type target struct {
	hosts   *probe.Hosts
	allowed *http.Server // nil where there is none
	serving sync.WaitGroup
	spec    bottle.Spec
	targets attack.Targets
}

// aim opens the canaries of this computer and, for a bare bottle, makes a
// world: a name that is allowed, one that is not, and one that is allowed and
// leads here.
func (opts *tryOptions) aim(ctx context.Context, spec bottle.Spec) (*target, error) {
	word := strings.ToLower(rand.Text())
	hosts, err := probe.OpenHosts(ctx, word)
	if err != nil {
		return nil, err
	}
	t := &target{hosts: hosts, spec: spec, targets: attack.Targets{
		Refused: refusedName, Workspace: spec.Workspace, Program: bottle.Program, UID: spec.UID, Nested: spec.Nested,
		Variables: secretVariables(), Sockets: sockets(opts.Getenv("DOCKER_HOST")), Files: opts.privateFiles(spec.Home),
	}}
	doors, err := hosts.Doors()
	if err == nil {
		if control := hosts.Control(ctx, doors); control.Failed {
			err = fmt.Errorf("%s: %s", control.Target, control.Detail)
		}
	}
	if err != nil {
		_ = hosts.Close()
		return nil, err
	}
	for _, door := range doors {
		t.targets.Canaries = append(t.targets.Canaries, door.Address)
	}
	if spec.Bare {
		if err := t.makeWorld(ctx, doors); err != nil {
			return nil, errors.Join(err, t.Close())
		}
		return t, nil
	}
	names := probe.NamesFor(spec.Egress, word)
	t.targets.Allowed, t.targets.AllowedPort, t.targets.Refused = names.Allowed, names.AllowedPort, names.Refused
	return t, nil
}

// Close ends the canaries, and the allowed host.
func (t *target) Close() error {
	err := t.hosts.Close()
	if t.allowed != nil {
		err = errors.Join(err, t.allowed.Close())
		t.serving.Wait()
	}
	return err
}

// makeWorld writes the bare bottle's policy: the trap is one address of this
// computer's, and the allowed host another, which the policy names as private
// and where a page is served. A computer that has but one address has no such
// host: its name is looked up then, and not asked.
func (t *target) makeWorld(ctx context.Context, doors []wire.Door) error {
	here := []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	for _, door := range doors {
		if door.Address.Addr().Is4() {
			here = append(here, door.Address.Addr())
		}
	}
	t.targets.Allowed, t.targets.AllowedPort = allowedName, allowedPort
	t.targets.Trap = net.JoinHostPort(trapName, strconv.Itoa(int(t.hosts.Port())))
	t.spec.Egress = policy.Egress{Resolve: map[string]netip.Addr{trapName: here[min(1, len(here)-1)]}}
	if len(here) > 2 {
		if err := t.serve(ctx, here[len(here)-1]); err != nil {
			return err
		}
	}
	t.spec.Egress.Allow = []policy.Allow{
		{Host: net.JoinHostPort(allowedName, strconv.Itoa(t.targets.AllowedPort)), Source: "try"},
		{Host: t.targets.Trap, Source: "try"},
	}
	return nil
}

// serve is the allowed host, until Close.
func (t *target) serve(ctx context.Context, address netip.Addr) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", netip.AddrPortFrom(address, 0).String())
	if err != nil {
		return fmt.Errorf("be an allowed host: %w", err)
	}
	const page = "hello from an allowed host\n"
	t.allowed = &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, page) // who asked is seen to get it
	})}
	t.serving.Go(func() { _ = t.allowed.Serve(listener) })
	t.targets.Says, t.targets.AllowedPort = page, listener.Addr().(*net.TCPAddr).Port
	t.spec.Egress.Resolve[allowedName] = address
	t.spec.Egress.Private = []netip.Prefix{netip.PrefixFrom(address, address.BitLen())}
	return nil
}

// secretVariables are those that carry harnesses' credentials, by both of
// their names.
func secretVariables() []string {
	var names []string
	for _, name := range harness.Names() {
		row, _ := harness.Named(name)
		for _, token := range row.Tokens {
			names = append(names, token.From)
			if token.Name != token.From {
				names = append(names, token.Name)
			}
		}
	}
	return names
}

// sockets is the engine's, where the environment names it.
func sockets(dockerHost string) []string {
	if path, is := strings.CutPrefix(dockerHost, "unix://"); is {
		return []string{path}
	}
	return nil
}

// privateFiles are the person's that exist and are no path of the bottle's own
// home.
func (a *App) privateFiles(inside string) []string {
	home, err := a.home()
	if err != nil || home == inside {
		return nil
	}
	var found []string
	var paths []string
	for _, name := range []string{".ssh", ".docker", ".gnupg", ".aws", ".config/gh", ".claude", ".bash_history", "claude-bottle.yaml"} {
		paths = append(paths, filepath.Join(home, name))
	}
	if root, err := a.stateRoot(); err == nil {
		paths = append(paths, a.logins(root).FilePath())
	}
	for _, path := range paths {
		if _, err := os.Lstat(path); err == nil && !strings.HasPrefix(path, inside+"/") {
			found = append(found, path)
		}
	}
	return found
}
