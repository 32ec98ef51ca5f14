//go:build linux

package escape_test

import (
	"bufio"
	"bytes"
	"io"
	"os/exec"
	"testing"
)

// beside is a bottle that runs the program beside the test, until its standard
// input ends.
type beside struct {
	what   string // "the neighbour"
	cmd    *exec.Cmd
	stdin  io.Closer
	lines  *bufio.Reader // what it says
	stderr bytes.Buffer
	ended  bool
}

// startBeside returns with the first line that it says.
func (p *person) startBeside(t *testing.T, what string, args ...string) (b *beside, first string) {
	t.Helper()
	b = &beside{what: what, cmd: p.command(append([]string{"start", p.agent, "--cwd", "--yes", "--"}, args...)...)}
	stdin, err := b.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := b.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	b.stdin, b.cmd.Stderr = stdin, &b.stderr
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.end(t) })
	b.lines = bufio.NewReader(stdout)
	if first, err = b.lines.ReadString('\n'); err != nil {
		b.ended = true
		_ = b.cmd.Wait() // what it said says why
		t.Fatalf("%s does not start, and says %q:\n%s", what, first, b.stderr.String())
	}
	return b, first
}

// end ends it and returns what else it said; nothing the second time.
func (b *beside) end(t *testing.T) []byte {
	t.Helper()
	if b.ended {
		return nil
	}
	b.ended = true
	_ = b.stdin.Close()
	rest, err := io.ReadAll(b.lines)
	if err != nil {
		t.Errorf("%s: what it says cannot be read: %v", b.what, err)
	}
	if err := b.cmd.Wait(); err != nil {
		t.Errorf("%s: %v\n%s", b.what, err, b.stderr.String())
	}
	return rest
}
