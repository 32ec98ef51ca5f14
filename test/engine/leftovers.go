package engine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// forwarding is what dockerd turns on and leaves on.
const forwarding = "/proc/sys/net/ipv4/ip_forward"

// bridge is the name that dockerd gives its default bridge, networkBridge those of
// its other networks.
const bridge = "docker0"

var networkBridge = regexp.MustCompile(`^br-[0-9a-f]{12}$`)

// network is the part of the machine's network that a dockerd changes and
// does not change back.
type network struct {
	bridges []string
	forward []byte
	rules   map[string][]string // of iptables, as iptables-save has them, by table
}

func observeNetwork(ctx context.Context) (*network, error) {
	n := &network{rules: map[string][]string{}}
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list the machine's interfaces: %w", err)
	}
	for _, i := range interfaces {
		if i.Name == bridge || networkBridge.MatchString(i.Name) {
			n.bridges = append(n.bridges, i.Name)
		}
	}
	if n.forward, err = os.ReadFile(forwarding); err != nil {
		return nil, fmt.Errorf("read the machine's network: %w", err)
	}
	for _, table := range []string{"filter", "nat"} {
		out, err := exec.CommandContext(ctx, "iptables-save", "-t", table).Output()
		if err != nil {
			return nil, fmt.Errorf("list the rules of table %s: %w", table, err)
		}
		for line := range strings.Lines(string(out)) {
			n.rules[table] = append(n.rules[table], strings.TrimSpace(line))
		}
	}
	return n, nil
}

// restore takes away what came since n was observed and is dockerd's by its
// name, and leaves everything else alone. Where a dockerd's bridge was there
// before, another one may still run: nothing is touched.
func (n *network) restore(ctx context.Context) error {
	if slices.Contains(n.bridges, bridge) {
		return nil
	}
	now, err := observeNetwork(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for table, rules := range now.rules {
		for _, args := range undo(n.rules[table], rules) {
			errs = append(errs, command(ctx, "iptables", append([]string{"-w", "-t", table}, args...)...))
		}
	}
	for _, name := range now.bridges {
		if !slices.Contains(n.bridges, name) {
			errs = append(errs, command(ctx, "ip", "link", "delete", name))
		}
	}
	errs = append(errs, os.WriteFile(forwarding, n.forward, 0o644))
	return errors.Join(errs...)
}

// undo gives the arguments of iptables that lead from the rules after to the
// rules before, as far as they are dockerd's.
func undo(before, after []string) [][]string {
	var rules, flush, remove, policies [][]string
	for _, line := range after {
		if slices.Contains(before, line) {
			continue
		}
		fields := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "-A") && isDocker(fields):
			rules = append(rules, append([]string{"-D"}, fields[1:]...))
		case strings.HasPrefix(line, ":DOCKER"):
			flush = append(flush, []string{"-F", fields[0][1:]})
			remove = append(remove, []string{"-X", fields[0][1:]})
		case strings.HasPrefix(line, ":FORWARD DROP"):
			if slices.ContainsFunc(before, func(s string) bool { return strings.HasPrefix(s, ":FORWARD ACCEPT") }) {
				policies = append(policies, []string{"-P", "FORWARD", "ACCEPT"})
			}
		}
	}
	// A chain that is named by a rule cannot be removed.
	return slices.Concat(policies, rules, flush, remove)
}

// isDocker is true for a rule that names a chain or a bridge of dockerd's.
func isDocker(rule []string) bool {
	return slices.ContainsFunc(rule, func(word string) bool {
		return strings.HasPrefix(word, "DOCKER") || word == bridge || networkBridge.MatchString(word)
	})
}

// unmountBelow unmounts everything below dir, what was mounted last first.
func unmountBelow(dir string) error {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("list the mounts: %w", err)
	}
	defer file.Close()
	var mounts []string
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		// proc_pid_mountinfo(5): the fifth field is the mount point.
		if f := strings.Fields(lines.Text()); len(f) > 4 && strings.HasPrefix(f[4], dir+"/") {
			mounts = append(mounts, f[4])
		}
	}
	var errs []error
	for _, mount := range slices.Backward(mounts) {
		if err := unix.Unmount(mount, unix.MNT_DETACH); err != nil {
			errs = append(errs, fmt.Errorf("unmount %s: %w", mount, err))
		}
	}
	return errors.Join(append(errs, lines.Err())...)
}

func command(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
