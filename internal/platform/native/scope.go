//go:build linux

package native

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/failpoint"
	"claude-bottle/internal/runs"
)

// kindScope is a scope of systemd in a ledger: the bus, a space, the unit.
const kindScope = runs.Kind("native-scope")

// scope is a unit of systemd (systemd.scope(5)) around processes that it did
// not start.
type scope struct {
	Bus  string `json:"bus"`
	Unit string `json:"unit"`
}

// systemdHierarchy is systemd's part of the hierarchy of version 2, which
// nobody else should change: the person's own manager makes a scope there for
// who asks on its bus. The zero value when there is none.
func systemdHierarchy(root string, uid int, getenv func(string) string) (hierarchy, bool) {
	if _, err := os.Stat("/run/systemd/system"); err != nil { // sd_booted(3)
		return hierarchy{}, false
	}
	bus, manager := "/run/dbus/system_bus_socket", root
	if uid != 0 {
		runtime := getenv("XDG_RUNTIME_DIR")
		if !filepath.IsAbs(runtime) {
			runtime = fmt.Sprintf("/run/user/%d", uid)
		}
		bus = filepath.Join(runtime, "bus")
		manager = filepath.Join(root, fmt.Sprintf("user.slice/user-%[1]d.slice/user@%[1]d.service", uid))
	}
	if info, err := os.Stat(bus); err != nil || info.Mode()&os.ModeSocket == 0 {
		return hierarchy{}, false
	}
	h := hierarchy{Version: 2, Parent: manager, Bus: "unix:path=" + dbus.EscapeBusAddressValue(bus), Controllers: ofOurs(manager, "cgroup.controllers")}
	return h, len(h.Controllers) > 0
}

// enterScope puts the bottle's first process, which waits for its order, into a
// scope that has the limits.
func (l *launch) enterScope(ctx context.Context) error {
	bus := l.plan.Native.Scope
	if bus == "" {
		return nil
	}
	s := scope{Bus: bus, Unit: limitsName(l.Run.ID()) + ".scope"}
	if err := l.Run.Record(runs.Resource{Kind: kindScope, Name: s.Bus + " " + s.Unit}); err != nil {
		return err
	}
	l.object.Scope = &s
	if err := l.platform.objects().update(l.object); err != nil {
		return err
	}
	if err := failpoint.Hit("native.scope"); err != nil {
		return err
	}
	pid, nested := l.object.Inside.PID, l.plan.Spec.Nested
	if err := s.start(ctx, pid, properties(pid, l.plan.Name, l.plan.Spec.Limits, nested)); err != nil {
		return fmt.Errorf("have systemd make %s: %w", s.Unit, err)
	}
	if !nested {
		return nil
	}
	if err := s.descend(pid); err != nil {
		return fmt.Errorf("keep the limits of %s out of the bottle's reach: %w", s.Unit, err)
	}
	return nil
}

// descend moves the process, which has started nothing yet, into a leaf within
// the scope. An ordinary user's manager has that user's scopes, whose limits what
// runs inside could write if it could mount them: see leaf.
func (s scope) descend(pid int) error {
	groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	_, unified, _ := strings.Cut("\n"+string(groups), "\n0::")
	group, _, _ := strings.Cut(unified, "\n")
	root, dir := mountedAt(string(mounts), "cgroup2", "", group)
	if root == "" || filepath.Base(dir) != s.Unit {
		return fmt.Errorf("process %d is in %q", pid, group)
	}
	inner := filepath.Join(dir, leaf)
	if err := os.Mkdir(inner, 0o755); err != nil {
		return err
	}
	return writeSetting(filepath.Join(inner, "cgroup.procs"), strconv.Itoa(pid))
}

const (
	manager     = "org.freedesktop.systemd1"
	managerPath = dbus.ObjectPath("/org/freedesktop/systemd1")
)

// property is one of a unit, as StartTransientUnit takes it.
type property struct {
	Name  string
	Value dbus.Variant
}

// properties are a scope's. One that runs out of memory loses the program that
// took it, not all that is in it; and one that is over is forgotten. One that is
// delegated may have groups within.
func properties(pid int, name string, limits bottle.Limits, delegated bool) []property {
	all := []property{
		{"Description", dbus.MakeVariant("bottle " + name)},
		{"PIDs", dbus.MakeVariant([]uint32{uint32(pid)})}, //nolint:gosec // G115: a process
		{"CollectMode", dbus.MakeVariant("inactive-or-failed")},
	}
	if delegated {
		all = append(all, property{"Delegate", dbus.MakeVariant(true)})
	}
	if limits.Memory > 0 {
		all = append(all, property{"MemoryMax", dbus.MakeVariant(uint64(limits.Memory))}, //nolint:gosec // G115: positive
			property{"MemorySwapMax", dbus.MakeVariant(uint64(0))}, property{oomPolicy, dbus.MakeVariant("continue")})
	}
	if limits.CPUs > 0 {
		all = append(all, property{"CPUQuotaPerSecUSec", dbus.MakeVariant(uint64(limits.CPUs * 1e6))})
	}
	if limits.PIDs > 0 {
		all = append(all, property{"TasksMax", dbus.MakeVariant(uint64(limits.PIDs))}) //nolint:gosec // G115: positive
	}
	return all
}

// oomPolicy is a scope's only since systemd 253; before, none was ended as a
// whole.
const oomPolicy = "OOMPolicy"

// start returns when the process is in the scope.
func (s scope) start(ctx context.Context, pid int, wanted []property) error {
	conn, err := s.dial(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	err = s.ask(ctx, conn, wanted)
	if err != nil && strings.Contains(err.Error(), oomPolicy) {
		err = s.ask(ctx, conn, slices.DeleteFunc(wanted, func(p property) bool { return p.Name == oomPolicy }))
	}
	if err != nil {
		return err
	}
	return until(ctx, func() (bool, error) {
		group, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		return strings.Contains(string(group), "/"+s.Unit), err
	})
}

func (s scope) ask(ctx context.Context, conn *dbus.Conn, wanted []property) error {
	aux := []struct {
		Name       string
		Properties []property
	}{}
	return conn.Object(manager, managerPath).CallWithContext(ctx, manager+".Manager.StartTransientUnit", 0, s.Unit, "fail", wanted, aux).Err
}

func (s scope) dial(ctx context.Context) (*dbus.Conn, error) {
	conn, err := dbus.Dial(s.Bus, dbus.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	if err := conn.Auth(nil); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if err := conn.Hello(); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// stop ends the scope with what is in it. One that is not there is stopped.
func (s scope) stop(ctx context.Context) error {
	if _, err := os.Stat(strings.TrimPrefix(s.Bus, "unix:path=")); errors.Is(err, os.ErrNotExist) {
		return nil // the manager has ended, and its scopes with it
	}
	conn, err := s.dial(ctx)
	if err != nil {
		return fmt.Errorf("stop %s: %w", s.Unit, err)
	}
	defer func() { _ = conn.Close() }()
	systemd := conn.Object(manager, managerPath)
	err = systemd.CallWithContext(ctx, manager+".Manager.StopUnit", 0, s.Unit, "replace").Err
	if err != nil && !missing(err) {
		return fmt.Errorf("stop %s: %w", s.Unit, err)
	}
	return until(ctx, func() (bool, error) {
		err := systemd.CallWithContext(ctx, manager+".Manager.GetUnit", 0, s.Unit).Err
		if missing(err) {
			return true, nil
		}
		return false, err
	})
}

func missing(err error) bool {
	known, ok := errors.AsType[dbus.Error](err)
	return ok && known.Name == manager+".NoSuchUnit"
}

// until asks again and again, as long as ctx lasts.
func until(ctx context.Context, done func() (bool, error)) error {
	tick := time.NewTicker(groupPause)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
