//go:build linux

package escape_test

import (
	"context"
	"encoding/json"
	"os/exec"
	"syscall"
	"testing"

	"claude-bottle/test/escape/attacks"
)

// bottleUID is whose the bottles of root are, where nobody is behind sudo.
const bottleUID = 1000

// TestNeighbourOnTheSameUID has a bottle take all that it can of what the kernel
// counts for its user. A program of that user goes on, and so does a launch.
func TestNeighbourOnTheSameUID(t *testing.T) {
	list := places
	if !all() {
		list = places[3:]
	}
	at(t, func(t *testing.T, p *person) {
		args := []string{"take"}
		if p.place.platform == "native" {
			args = append(args, "watches")
		}
		hog, first := p.startBeside(t, "the bottle that takes all", args...)
		var taken map[string]attacks.Taken
		if err := json.Unmarshal([]byte(first), &taken); err != nil {
			t.Fatalf("it says %q: %v", first, err)
		}
		for _, c := range attacks.Counters() {
			got, tried := taken[c.Name]
			t.Logf("%s: it took %d, then: %s", c.Name, got.Count, got.Error)
			// gVisor's kernel counts its own, and knows no POSIX messages.
			if p.place.isolation != "runsc" && tried && (got.Count < 1 || got.Error == "closed") {
				t.Errorf("%s: it took %d, then: %s", c.Name, got.Count, got.Error)
			}
		}
		if failed := p.outside(t); len(failed) > 0 {
			t.Errorf("a program of the same user, outside: %v", failed)
		}
		if got := p.start(nil, "version"); got.code != 0 {
			t.Errorf("another bottle: code %d\n%s", got.code, got.stderr)
		}
		hog.end(t)
	}, list...)
}

// outside takes a little of each as the bottles' user, on the host, and returns
// what failed.
func (p *person) outside(t *testing.T) (failed map[string]string) {
	t.Helper()
	program, err := shared.program("escape")
	if err != nil {
		t.Fatal(err)
	}
	uid := p.place.uid
	if uid == 0 {
		uid = bottleUID
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "share")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &failed)
	}
	if err != nil {
		t.Fatalf("outside: %v\n%s", err, out)
	}
	return failed
}
