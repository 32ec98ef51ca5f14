package e2e_test

import (
	"regexp"
	"strings"
	"testing"
)

// What an agent does too much of ends at the bottle's limits: a program that
// takes all memory is killed and its bottle goes on, no more processes are
// made than may be, and when the work passes the disk's limit the run ends and
// says so.
func TestLimits(t *testing.T) {
	p := newPerson(t, "runc", "limits: {memory: 128MiB, pids: 64, disk: 32MiB}", shell)
	got := p.run("start", p.agent, "--yes", "--", `
		tail /dev/zero >/dev/null 2>&1; echo "memory: $?"
		python3 - <<'X'
import os, signal
children = []
try:
    while len(children) < 1000:
        child = os.fork()
        if child == 0:
            signal.pause()
        children.append(child)
except BlockingIOError as refusal:
    print("processes:", len(children) < 64, refusal.strerror)
finally:
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
X
		echo still alive
		dd if=/dev/zero of=big bs=1M count=48 status=none; exec sleep 1000`)
	if want := "memory: 137\nprocesses: True Resource temporarily unavailable\nstill alive\n"; got.stdout != want {
		t.Errorf("inside:\n%s\nwant\n%s", got.stdout, want)
	}
	if got.code != 125 || !regexp.MustCompile(`(?m)^error: .*it used \d+ bytes of disk, its limit is 33554432`).MatchString(got.stderr) {
		t.Errorf("code %d:\n%s", got.code, got.stderr)
	}
	if !strings.Contains(got.stderr, "1 added") {
		t.Errorf("the work is not said to be kept:\n%s", got.stderr)
	}
}
