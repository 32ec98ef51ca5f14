package cli

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

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
	allowedPort = 8080
	trapName    = "trap.example"
	refusedName = "not-allowed.example"
)

// target is what a bottle attacks: what there is on this computer, each shown
// to be there.
type target struct {
	hosts   *probe.Hosts
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
		Refused: refusedName, Workspace: spec.Workspace, Program: bottle.Program, UID: spec.UID,
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
		t.makeWorld(doors)
		return t, nil
	}
	t.targets.Allowed, t.targets.AllowedPort, t.targets.Refused = probe.NamesFor(spec.Egress, word)
	return t, nil
}

// Close ends the canaries.
func (t *target) Close() error { return t.hosts.Close() }

// makeWorld writes the bare bottle's policy.
func (t *target) makeWorld(doors []wire.Door) {
	here := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	for _, door := range doors {
		if door.Address.Addr().Is4() {
			here = door.Address.Addr()
			break
		}
	}
	port := ":" + strconv.Itoa(int(t.hosts.Port()))
	t.targets.Allowed, t.targets.AllowedPort, t.targets.Trap = allowedName, allowedPort, trapName+port
	t.spec.Egress = policy.Egress{
		Allow: []policy.Allow{
			{Host: allowedName + ":" + strconv.Itoa(allowedPort), Source: "try"},
			{Host: t.targets.Trap, Source: "try"},
		},
		Resolve: map[string]netip.Addr{trapName: here},
	}
}

// settle puts the allowed host where the plan puts the bottle: what is asked
// of it goes through the gateway and stays in the bottle's own network.
func (t *target) settle(plan *bottle.Plan) {
	if !t.spec.Bare || plan.Docker == nil || !plan.Docker.BottleAddress.IsValid() {
		return
	}
	address := plan.Docker.BottleAddress
	plan.Spec.Egress.Resolve[allowedName] = address
	plan.Spec.Egress.Private = []netip.Prefix{netip.PrefixFrom(address, address.BitLen())}
	t.targets.Served = netip.AddrPortFrom(address, allowedPort)
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
	for _, name := range []string{".ssh", ".docker", ".gnupg", ".aws", ".config/gh", ".claude", ".bash_history", "claude-bottle.yaml"} {
		path := filepath.Join(home, name)
		if _, err := os.Lstat(path); err == nil && !strings.HasPrefix(path, inside+"/") {
			found = append(found, path)
		}
	}
	return found
}
