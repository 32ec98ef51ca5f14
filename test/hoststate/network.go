package hoststate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// inNetwork does something in the engine's network namespace.
func (o *Observer) inNetwork(do func() error) error {
	if o.Network == "" {
		return do()
	}
	namespace, err := os.Open(o.Network)
	if err != nil {
		return err
	}
	defer namespace.Close()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends here
		if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		done <- do()
	}()
	return <-done
}

// veth is how engines call the host's end of a container's interface.
var veth = regexp.MustCompile(`^veth[0-9a-f]{7}$`)

// interfaces are an engine's: bridges of networks, and the host's ends of
// containers' interfaces.
func (o *Observer) interfaces(_ context.Context, k known) (lines []string, err error) {
	var all []net.Interface
	err = o.inNetwork(func() (err error) {
		all, err = net.Interfaces()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	for _, i := range all {
		about := i.Name
		master, err := os.Readlink(filepath.Join("/sys/class/net", i.Name, "master"))
		if err == nil {
			about += " on " + filepath.Base(master)
		}
		switch {
		case o.Alone:
		case bridges.MatchString(about):
			if !o.ofNobody(about, k) {
				continue
			}
		case veth.MatchString(i.Name) && err != nil: // on its way somewhere, or forgotten
		default:
			continue
		}
		lines = append(lines, "interface "+about)
	}
	return lines, nil
}

// ofNobody says whether text names a bridge of ours, or one of a network that
// the engine does not know.
func (o *Observer) ofNobody(text string, k known) bool {
	return o.mentions(text) || bridgeOf(text, func(short string) bool { return !k.network(short) })
}

// counters are what a rule has let through.
var counters = regexp.MustCompile(`\[\d+:\d+\]| counter packets \d+ bytes \d+`)

// jumps are the engine's own rules that lead to its chains, one each, for all
// of its networks. It takes each away and puts it back whenever it makes a
// network, not atomically (moby pull request 43585): two that are made at once
// may leave two of one rule, which do what one does, and which nobody but the
// engine may remove.
var jumps = regexp.MustCompile(`(-j|jump) DOCKER-(USER|ISOLATION-STAGE-1)$`)

// rules are those of the packet filter, as each program for them lists them.
// A program that is not there lists nothing.
func (o *Observer) rules(ctx context.Context, k known) ([]string, error) {
	var lines []string
	for _, lister := range [][]string{{"iptables-save"}, {"ip6tables-save"}, {"iptables-legacy-save"}, {"nft", "list", "ruleset"}} {
		var out []byte
		err := o.inNetwork(func() (err error) {
			out, err = exec.CommandContext(ctx, lister[0], lister[1:]...).Output()
			return err
		})
		if errors.Is(err, exec.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list the rules of the packet filter: %s: %w", lister[0], err)
		}
		table := ""
		for line := range strings.Lines(string(out)) {
			line = strings.TrimSpace(counters.ReplaceAllString(line, ""))
			if strings.HasPrefix(line, "*") {
				table = line
			}
			if line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			line = fmt.Sprintf("rule %s %s %s", lister[0], table, line)
			if jumps.MatchString(line) && slices.Contains(lines, line) {
				continue
			}
			if o.Alone || bridges.MatchString(line) && o.ofNobody(line, k) {
				lines = append(lines, line)
			}
		}
	}
	return lines, nil
}
