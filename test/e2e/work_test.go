package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What an agent leaves in its work and in its git directory for the host's git
// to run, no command of ours runs. That git would, is tried at the end.
func TestWorkRunsNothingOnTheHost(t *testing.T) {
	p := newPerson(t, "runc", "", shell)
	p.git("init", "-q", "-b", "main")
	p.git("-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-q", "--allow-empty", "-m", "First")
	owned := filepath.Join(p.home, "owned")
	p.start("--cwd", "--", strings.ReplaceAll(`
		printf '#!/bin/sh\ntouch OWNED\n' >trap.sh && chmod 755 trap.sh
		git config core.fsmonitor "touch OWNED; false" && git config core.pager "touch OWNED; cat" && git config diff.external "touch OWNED; true"
		for hook in post-checkout post-index-change pre-commit reference-transaction; do cp trap.sh .git/hooks/$hook; done
		mkdir inner && cp -r .git inner/.git && echo '* filter=trap diff=trap' >.gitattributes && echo new >file`, "OWNED", owned))
	for _, args := range [][]string{{"ps", "--all"}, {"cleanup", "--dry-run"}, {"ps", filepath.Base(filepath.Dir(p.work()))}, {"doctor"}} {
		if got := p.run(args...); got.code != 0 {
			t.Errorf("%q: %+v", args, got)
		}
	}
	if _, err := os.Lstat(owned); err == nil {
		t.Error("something of the agent's ran on the host")
	}
	status := exec.CommandContext(t.Context(), "git", "-c", "safe.directory=*", "-C", filepath.Join(p.work(), "inner"), "status")
	status.Env = append(os.Environ(), "HOME="+p.home)
	out, err := status.CombinedOutput()
	if _, missing := os.Lstat(owned); missing != nil {
		t.Errorf("the trap does not work: %v\n%s", err, out)
	}
}
