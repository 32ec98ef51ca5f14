// Command vm runs the tests of native bottles in a machine of its own: another
// kernel, with systemd, control groups of version 2 alone, and AppArmor, which
// the machine that tests run on need not have (docs/conformance.md). It is
// emulated, slow, and has no network device at all.
//
//	vm [--accel tcg] [--run TESTS]
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"claude-bottle/test/engine"
)

func main() {
	accel := flag.String("accel", "tcg", "how QEMU runs the machine's processors, as kvm where that may be used")
	tests := flag.String("run", "", "only the tests of test/vm/machine that match this")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := test(ctx, *accel, *tests); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func test(ctx context.Context, accel, tests string) error {
	if os.Geteuid() != 0 {
		return errors.New("only root can make the machine's disk")
	}
	err := engine.Install(ctx, os.Stderr, map[string]string{
		"qemu-system-x86_64": "qemu-system-x86", "debootstrap": "debootstrap", "mke2fs": "e2fsprogs",
	})
	if err != nil {
		return err
	}
	machine, err := base(ctx)
	if err != nil {
		return fmt.Errorf("make a machine: %w", err)
	}
	dir, err := os.MkdirTemp("", "claude-bottle-vm-")
	if err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	programs, err := programs(ctx, dir, tests)
	if err != nil {
		return fmt.Errorf("build what is tested: %w", err)
	}
	return boot(ctx, machine, programs, dir, accel)
}

// boot runs the machine until it has switched itself off, and shows what the
// tests print.
func boot(ctx context.Context, machine image, programs, dir, accel string) error {
	console := filepath.Join(dir, "console")
	vm := exec.CommandContext(ctx, "qemu-system-x86_64", "-accel", accel, "-cpu", "max,la57=off", "-smp", "2", "-m", "2048",
		"-nodefaults", "-no-user-config", "-display", "none", "-nic", "none", "-no-reboot",
		"-kernel", machine.kernel, "-initrd", machine.initrd, "-append", "console=ttyS0 root=/dev/vda rw panic=-1 quiet",
		"-drive", "if=virtio,format=raw,snapshot=on,file="+machine.disk, "-drive", "if=virtio,format=raw,readonly=on,file="+programs,
		"-device", "virtio-rng-pci", "-serial", "file:"+console, "-serial", "stdio")
	vm.Stderr = os.Stderr
	out, err := vm.StdoutPipe()
	if err != nil {
		return err
	}
	if err := vm.Start(); err != nil {
		return err
	}
	ended := show(out)
	if err := vm.Wait(); err != nil {
		return fmt.Errorf("run the machine: %w", err)
	}
	if ended != "success" {
		last, _ := os.ReadFile(console)
		return fmt.Errorf("the tests ended with %q; the machine's console:\n%s", ended, last[max(0, len(last)-4096):])
	}
	return nil
}

// show prints lines, and returns how the machine's last one says that the tests
// ended; empty when there was none.
func show(from io.Reader) (ended string) {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := strings.TrimRight(lines.Text(), "\r")
		fmt.Println(line)
		ended, _ = strings.CutPrefix(line, "vm: ")
	}
	return ended
}

// run runs a command, whose output is shown when it fails.
func run(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}
