package docker

import (
	"errors"
	"os"
	"strings"
	"testing"

	"claude-bottle/internal/bottle"
)

// TestHandoverIsGone: where guest and gateway met, nobody meets again, and the
// way to there is closed to the agent.
func TestHandoverIsGone(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	spec := b.spec()
	spec.Isolation = bottle.Runc
	i := b.launch(t, spec)
	if _, err := os.Lstat(b.store.Dir(i.Run()) + "/" + bottle.HandoverDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is still there: %v", err)
	}
	if got := sh(t, i, "ls -A "+insideHandover+"; (echo x > "+insideHandover+"/ways) 2>/dev/null && echo written || echo kept"); got != "kept" {
		t.Errorf("inside: %q", got)
	}
}

// TestNothingButLoopback: there is no network, the host knows no other, and a
// server of the agent's own on port 80 is beside the gateway's.
func TestNothingButLoopback(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	spec := b.spec()
	spec.Isolation = bottle.Runc
	i := b.launch(t, spec)
	if got := sh(t, i, "ls /sys/class/net; tail -n +2 /proc/net/route"); got != "lo" {
		t.Errorf("interfaces and routes: %q", got)
	}
	for _, object := range b.objects(t) {
		if strings.HasSuffix(object, ".network") {
			t.Errorf("the engine has %s", object)
		}
	}
	const serve = "cd; echo mine > page; httpd -f -p 127.0.0.1:80 & for i in 1 2 3 4 5 6 7 8 9; do " +
		"got=$(wget -Y off -q -O - http://127.0.0.1/page) && break; sleep 0.1; done; kill $!; echo $got"
	if got := sh(t, i, serve); got != "mine" {
		t.Errorf("the agent's own server on port 80: %q", got)
	}
	if got := sh(t, i, "printf 'GET / HTTP/1.0\\r\\nHost: x.example\\r\\n\\r\\n' | nc 127.0.0.77 80 | head -n 1"); !strings.Contains(got, "403") {
		t.Errorf("the gateway on port 80: %q", got)
	}
	if got := sh(t, i, "hostname; ping -c 1 127.0.0.1 >/dev/null 2>&1; grep -c $(hostname) /etc/hosts"); got != spec.Slug+"\n1" {
		t.Errorf("the bottle's own name: %q", got)
	}
}
