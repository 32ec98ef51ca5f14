//go:build linux

package guest

import (
	"os/exec"
	"testing"

	"claude-bottle/internal/wire"
	"claude-bottle/test/engine"
)

// underGVisor runs the guest as process 1 of a gVisor sandbox.
func underGVisor(t *testing.T) option {
	t.Helper()
	runsc, err := engine.FindGvisor()
	if err != nil {
		engine.Missing(t, engine.PartGvisor, err.Error())
	}
	state := t.TempDir()
	return func(cmd *exec.Cmd, boot *wire.GuestBoot) {
		self := cmd.Path
		cmd.Path, cmd.SysProcAttr = runsc, nil
		cmd.Args = []string{"runsc", "--root=" + state, "--ignore-cgroups", "--network=none", "do", "--cwd=/", self}
		cmd.Env = append(cmd.Env, roleVariable+"="+roleSub)
		boot.DialUID = 0
	}
}

func TestGuestUnderGVisor(t *testing.T) {
	t.Parallel()
	b := launch(t, underGVisor(t))
	for _, test := range []struct {
		start         wire.Start
		stdin, stdout string
		code          int
	}{
		{sh("cat; exit 7"), "in", "in", 7},
		{sh("kill -TERM $$"), "", "", 143},
		{wire.Start{Argv: []string{"no-such"}}, "", "", 127},
		{onTerminal("stty size; tty >/dev/null && echo tty"), "", "31 97\r\ntty\r\n", 0},
		{sh("i=0; while [ $i -lt 200 ]; do (true &); i=$((i+1)); done; echo made"), "", "made\n", 0},
		{sh("sleep 60 & echo said"), "", "said\n", 0},
		{wire.Start{Argv: []string{"ls", "/proc/self/fd"}}, "", "0\n1\n2\n3\n", 0},
	} {
		got := run(t, b.GuestClient, test.start, test.stdin)
		if got.exit.Code != test.code || got.stdout != test.stdout {
			t.Errorf("%q: %+v", test.start.Argv, got)
		}
	}
	in, out := &endless{left: 32 << 20}, &counter{}
	exit, err := b.Exec(deadline(t), wire.Start{Argv: []string{"cat"}}, wire.Streams{Stdin: in, Stdout: out})
	if err != nil || exit.Code != 0 || out.n != 32<<20 {
		t.Errorf("%d bytes, %+v %v", out.n, exit, err)
	}
}
