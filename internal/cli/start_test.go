//go:build linux

package cli_test

import (
	"bufio"
	"bytes"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

const shellManifest = `
bottles: {work: {}}
agents: {shell: {bottle: work, harness: {command: [bash, -c]}}}
`

func TestPersonSaysNo(t *testing.T) {
	for _, answer := range []string{"n\r", "\r", "yep\r", "\x04"} {
		p := newPlace(t, shellManifest)
		c := p.console(t, "start", "shell", "--", "echo launched")
		c.expect("container      : claude-bottle-shell")
		c.expect("claude-bottle: launch this agent? [y/N] ")
		c.types(answer)
		c.expect("claude-bottle: aborted by user")
		c.ends(0)
		p.untouched(t)
	}
}

func TestPersonAtATerminal(t *testing.T) {
	p := newPlace(t, shellManifest)
	c := p.console(t, "start", "shell", "--", `
		trap 'echo interrupted inside' INT
		test -t 0 && test -t 1 && test -t 2 && echo $TERM, $(stty size)
		while ! read -r line; do :; done
		echo "heard <$line>"
		until [ "$(stty size)" = "50 132" ]; do sleep 0.05; done
		echo resized
		read -r line
		exit 5`)
	c.expect("[y/N] ")
	c.types("y\r")
	c.expect("xterm-256color, 24 80\r\n")
	if c.echoes() {
		t.Error("the person's terminal is not raw while the agent has it")
	}
	c.types(ctrlC)
	c.expect("interrupted inside")
	c.types("hello\r")
	c.expect("heard <hello>")
	if err := pty.Setsize(c.tty, &pty.Winsize{Rows: 50, Cols: 132}); err != nil {
		t.Fatal(err)
	}
	c.expect("resized")
	c.types("bye\r")
	c.expect("ended (5); work: nothing changed")
	c.ends(5)
	if !c.echoes() {
		t.Error("the terminal was left raw")
	}
}

func TestSecretIsAskedForAfterThePlan(t *testing.T) {
	const secret = "correct horse"
	p := newPlace(t, `
bottles: {work: {env: {TOKEN: "?the registry's token"}}}
agents: {shell: {bottle: work, harness: {command: [bash, -c]}}}
`)
	c := p.console(t, "start", "shell", "--", "echo ${#TOKEN} characters")
	c.expect("[y/N] ")
	if strings.Contains(c.screen(), "the registry's token") {
		t.Error("asked for before the plan was agreed to")
	}
	c.types("y\r")
	c.expect("the registry's token (TOKEN): ")
	c.types(secret + "\r")
	c.expect("13 characters")
	c.ends(0)
	if strings.Contains(c.screen(), secret) {
		t.Error("the secret was shown")
	}
	if !c.echoes() {
		t.Error("the terminal no longer shows what is typed")
	}
	err := filepath.WalkDir(p.state, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte(secret)) {
			t.Errorf("the secret is in %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestCtrlCBeforeAnythingIsMade(t *testing.T) {
	p := newPlace(t, `
bottles: {work: {env: {TOKEN: "?token"}}}
agents: {shell: {bottle: work, harness: {command: [bash, -c]}}}
`)
	c := p.console(t, "start", "shell", "--", "true")
	c.expect("[y/N] ")
	c.types(ctrlC)
	c.expect("error: interrupted by SIGINT")
	c.ends(130)

	c = p.console(t, "start", "shell", "--", "true")
	c.expect("[y/N] ")
	c.types("y\r")
	c.expect("token (TOKEN): ")
	c.types(ctrlC)
	c.expect("error: interrupted by SIGINT")
	c.ends(130)
	if !c.echoes() {
		t.Error("the terminal no longer shows what is typed")
	}
	p.untouched(t)
}

func TestCtrlCWhileLaunching(t *testing.T) {
	for signal, code := range map[os.Signal]int{os.Interrupt: 130, syscall.SIGTERM: 143, syscall.SIGHUP: 129} {
		p := newPlace(t, shellManifest)
		c := p.console(t, "start", "shell", "--yes", "--platform", "slow", "--", "true")
		c.expect("slow: launching")
		if err := c.cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		c.expect("slow: undone")
		c.expect("error: interrupted by SIG")
		c.ends(code)
	}
}

// TestNohup: who starts it by nohup(1) wants it to outlive the terminal.
func TestNohup(t *testing.T) {
	p := newPlace(t, shellManifest)
	plain := p.command(t, "start", "shell", "--yes", "--", "echo here; read -r line; echo $line")
	cmd := exec.CommandContext(t.Context(), "bash", append([]string{"-c", `trap "" HUP; binary=$1; shift; exec -a claude-bottle "$binary" "$@"`, "-", plain.Path}, plain.Args[1:]...)...)
	cmd.Dir, cmd.Env, cmd.Stderr = plain.Dir, plain.Env, os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); line != "here\n" {
		t.Errorf("it says %q, %v", line, err)
	}
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(in, "and stayed\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := lines.ReadString('\n'); line != "and stayed\n" {
		t.Errorf("after the hangup it says %q, %v", line, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestCtrlCWhileClosing(t *testing.T) {
	p := newPlace(t, shellManifest)
	p.env = append(p.env, "TEST_CLOCK=jumps")
	c := p.console(t, "start", "shell", "--yes", "--platform", "stuck", "--", "echo done")
	c.expect("done")
	c.expect("stuck: closing")
	c.types(ctrlC)
	c.expect("claude-bottle: removing the bottle; once more to leave at once")
	c.types(ctrlC)
	c.expect("claude-bottle: left at once: the next command, or claude-bottle cleanup, removes what is left")
	c.ends(130)

	// The next command finishes what was left.
	ps := p.command(t, "ps", "--all")
	var stderr bytes.Buffer
	ps.Stderr = &stderr
	out, err := ps.Output()
	if err != nil || !strings.Contains(string(out), "stopped") {
		t.Errorf("ps: %v\n%s", err, out)
	}
	if want := "claude-bottle: swept up after 1 launcher that died; 1 kept as stopped: see claude-bottle ps --all\n"; stderr.String() != want {
		t.Errorf("swept: %q, want %q", stderr.String(), want)
	}
}

// piped is a run without a terminal whose harness says "ready".
func piped(t *testing.T, p place, script string) (cmd *exec.Cmd, stderr *bytes.Buffer) {
	t.Helper()
	cmd = p.command(t, "start", "shell", "--yes", "--", script)
	stderr = &bytes.Buffer{}
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make([]byte, len("ready\n"))
	if _, err := out.Read(ready); err != nil || string(ready) != "ready\n" {
		t.Fatalf("%q, %v\n%s", ready, err, stderr)
	}
	return cmd, stderr
}

func TestFirstInterruptIsTheAgents(t *testing.T) {
	p := newPlace(t, shellManifest)
	cmd, _ := piped(t, p, `trap 'exit 42' INT; echo ready; while :; do sleep 0.1; done`)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	wantCode(t, cmd, cmd.Wait(), 42)
}

func TestSecondInterruptEndsTheRun(t *testing.T) {
	p := newPlace(t, shellManifest)
	p.env = append(p.env, "TEST_CLOCK=jumps")
	cmd, stderr := piped(t, p, `trap 'touch asked' INT; echo ready; while :; do sleep 0.1; done`)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	waitForFile(t, filepath.Join(p.state, "claude-bottle/runs/*/work/asked"))
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	wantCode(t, cmd, cmd.Wait(), 130)
	if !strings.Contains(stderr.String(), "ended (130); work: 1 added") {
		t.Errorf("no last line in\n%s", stderr)
	}
}

func TestTermEndsTheRun(t *testing.T) {
	p := newPlace(t, shellManifest)
	cmd, stderr := piped(t, p, `trap '' INT TERM; echo ready; while :; do sleep 0.1; done`)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	wantCode(t, cmd, cmd.Wait(), 143)
	if !strings.Contains(stderr.String(), "error: interrupted by SIGTERM\n") {
		t.Errorf("nothing about SIGTERM in\n%s", stderr)
	}
}

func waitForFile(t *testing.T, pattern string) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	probe := time.NewTicker(10 * time.Millisecond)
	defer probe.Stop()
	for {
		if found, err := filepath.Glob(pattern); err != nil || len(found) > 0 {
			return
		}
		select {
		case <-probe.C:
		case <-deadline.C:
			t.Fatalf("no %s", pattern)
		}
	}
}

func TestLostGatewaySaysThatThereIsNoNetwork(t *testing.T) {
	p := newPlace(t, shellManifest)
	c := p.console(t, "start", "shell", "--yes", "--platform", "lossy", "--", "read -r line")
	c.expect("warning: the bottle has no network any more: the bottle's gateway ended: it exited with code 1\r\n")
	c.types("\r")
	c.expect("ended (0)")
	c.ends(0)
}

func TestDefectIsOneClearError(t *testing.T) {
	p := newPlace(t, shellManifest)
	c := p.console(t, "start", "shell", "--yes", "--platform", "defective", "--", "true")
	c.expect("error: claude-bottle has a defect: index out of range")
	c.expect("hint: run it again with CLAUDE_BOTTLE_TRACE=1")
	c.ends(125)
	if !c.echoes() {
		t.Error("the terminal was left raw")
	}
}

func TestProjectIsTrustedOnce(t *testing.T) {
	p := newPlace(t, shellManifest)
	write(t, p.project+"/claude-bottle.yaml", `agents: {extra: {bottle: work, harness: {command: [bash, -c]}}}`)
	c := p.console(t, "start", "extra", "--", "true")
	c.expect("came with the project")
	c.expect("trust this manifest? [y/N] ")
	c.types("n\r")
	c.expect("is not trusted")
	c.ends(2)
	p.untouched(t)

	c = p.console(t, "start", "extra", "--", "true")
	c.expect("trust this manifest? [y/N] ")
	c.types("y\r")
	c.expect("launch this agent? [y/N] ")
	c.types("n\r")
	c.ends(0)

	c = p.console(t, "start", "extra", "--", "true")
	c.expect("launch this agent? [y/N] ") // with no question before it
	if strings.Contains(c.screen(), "trust") {
		t.Error("asked again")
	}
	c.types("n\r")
	c.ends(0)
}

func TestBottleCannotWriteThePersonsClipboard(t *testing.T) {
	p := newPlace(t, shellManifest)
	script := `printf '\033[31mred\033[0m \033]52;c;c2VjcmV0\007 \033[?25l end\n'; printf '\033]52;c;c2VjcmV0\007' >&2`
	c := p.console(t, "start", "shell", "--yes", "--", script)
	c.expect("\x1b[31mred\x1b[0m ")
	c.expect(" end")
	c.expect("\x1b[?25h") // the cursor that it hid is back
	c.ends(0)
	if strings.Contains(c.screen(), "\x1b]52;") {
		t.Errorf("OSC 52 reached the terminal: %q", c.screen())
	}

	// Elsewhere the bytes are left as they are.
	cmd := p.command(t, "start", "shell", "--yes", "--", script)
	if out, err := cmd.Output(); err != nil || !strings.Contains(string(out), "\x1b]52;c;c2VjcmV0\a") {
		t.Errorf("piped: %q, %v", out, err)
	}
}

func TestEditAgain(t *testing.T) {
	p := newPlace(t, shellManifest)
	write(t, p.project+"/editor.sh", `
		if grep -q botle "$1"; then sed -i s/botle/bottle/ "$1"; else sed -i s/bottle:/botle:/ "$1"; fi
		echo "# edited" >> "$1"`)
	p.env = append(p.env, "EDITOR=sh "+p.project+"/editor.sh")
	c := p.console(t, "edit")
	c.expect(`unknown key "botle"`)
	c.expect("edit again? [y/N] ")
	c.types("y\r")
	c.expect("saved " + p.home + "/claude-bottle.yaml")
	c.ends(0)
}

func TestCleanupAsks(t *testing.T) {
	p := newPlace(t, shellManifest)
	if err := p.command(t, "start", "shell", "--yes", "--", "true").Run(); err != nil {
		t.Fatal(err)
	}
	c := p.console(t, "cleanup")
	c.expect("claude-bottle-shell  stopped")
	c.expect("remove 1 run, work included? [y/N] ")
	c.types("n\r")
	c.expect("aborted by user")
	c.ends(0)
	c = p.console(t, "cleanup")
	c.expect("[y/N] ")
	c.types("y\r")
	c.expect("removed 1 run")
	c.ends(0)
	if left, err := filepath.Glob(p.state + "/claude-bottle/runs/[0-9a-z]*"); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
