//go:build linux

package machine

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// ubuntu are the two ways in which Ubuntu's kernel restricts who has no profile,
// as profiles of their own: user namespaces are refused, or made without what
// they are for (its profile unprivileged_userns). A program that has a profile
// gets that one, there as here.
const ubuntu = `abi <abi/4.0>,
profile refused flags=(attach_disconnected) {
  allow capability, allow change_profile, allow network, allow signal, allow dbus, allow unix, allow mqueue, allow ptrace, allow io_uring,
  allow mount, allow umount, allow pivot_root,
  allow file rwlkm /**,
  deny userns,
  allow pix /**,
}
profile stripped flags=(attach_disconnected) {
  allow change_profile, allow network, allow signal, allow dbus, allow unix, allow mqueue, allow ptrace, allow io_uring,
  allow mount, allow umount, allow pivot_root, allow userns,
  allow file rwlkm /**,
  deny capability,
  allow pix /**,
}
`

// bubblewraps is a profile of bubblewrap's own, as Ubuntu has one since 25.04:
// what it starts has no capabilities.
const bubblewraps = `abi <abi/4.0>,
profile bwrap /usr/bin/bwrap flags=(attach_disconnected,mediate_deleted) {
  allow capability, allow network, allow signal, allow dbus, allow unix, allow mqueue, allow ptrace, allow io_uring,
  allow mount, allow umount, allow pivot_root, allow userns,
  allow file rwlkm /{**,},
  allow pix /** -> &bwrap//&unpriv_bwrap,
}
profile unpriv_bwrap flags=(attach_disconnected,mediate_deleted) {
  allow network, allow signal, allow dbus, allow unix, allow mqueue, allow ptrace, allow io_uring,
  allow mount, allow umount, allow pivot_root, allow userns,
  allow file rwlkm /{**,},
  deny capability,
  allow pix /** -> &unpriv_bwrap,
}
`

// TestRestricted is a person on Ubuntu: refused before the plan, until the
// command that doctor prints has run.
func TestRestricted(t *testing.T) {
	manifest(t)
	parse(t, "-r", ubuntu)
	t.Cleanup(func() { parse(t, "-R", ubuntu) })
	if err := os.WriteFile(restricted, []byte("1\n"), 0o644); err != nil { //nolint:gosec // G306: as the kernel's
		t.Fatal(err)
	}
	for _, kind := range []string{"refused", "stripped"} {
		t.Run(kind, func(t *testing.T) { restrictedTo(t, kind) })
	}
}

func restrictedTo(t *testing.T, kind string) {
	p := person{kind: kind}
	if out, err := output(t, p.runs("unshare", "--user", "--map-root-user", "true")...); err == nil {
		t.Fatalf("namespaces are not restricted: %s", out)
	}
	p.beforeThePlan(t, "there is no profile for claude-bottle", "--platform", "native")
	p.beforeThePlan(t, "there is no such socket; and native: user namespaces are restricted by AppArmor")
	must(t, "sh", "-c", p.mend(t))
	file := filepath.Join("/etc/apparmor.d/claude-bottle-1000")
	t.Cleanup(func() { must(t, "sh", "-c", "apparmor_parser -R "+file+"; rm "+file) })
	p.works(t, "claude-bottle-1000 (unconfined)")

	must(t, "apparmor_parser", "-R", file)
	p.beforeThePlan(t, "the profile "+file+" is not loaded", "--platform", "native")
	must(t, "sh", "-c", p.mend(t))
	p.works(t, "claude-bottle-1000 (unconfined)")

	parse(t, "-r", bubblewraps)
	p.works(t, "bwrap//&unpriv_bwrap (enforce)")
	parse(t, "-R", bubblewraps)

	must(t, bare("sh", "-c", "mkdir -p elsewhere && ln -sfn elsewhere link")...)
	linked := person{kind: kind, state: "/home/" + user + "/link/state"}
	linked.beforeThePlan(t, "the profile "+file+" is another", "--platform", "native")
	must(t, "sh", "-c", linked.mend(t))
	linked.works(t, "claude-bottle-1000 (unconfined)")
}

// person is the user under one of the profiles above.
type person struct{ kind, state string }

// runs is the command line of a command of that person's.
func (p person) runs(argv ...string) []string {
	under := []string{"aa-exec", "-p", p.kind, "--", "env", "HOME=/home/" + user}
	if p.state != "" {
		under = append(under, "XDG_STATE_HOME="+p.state)
	}
	return bare(append(under, argv...)...)
}

func (p person) start(t *testing.T, flags ...string) (string, error) {
	t.Helper()
	argv := append([]string{"/programs/on-ubuntu", "start", "plain", "--yes"}, flags...)
	return output(t, p.runs(append(argv, "--", "-c", "cat /proc/self/attr/current; echo inside")...)...)
}

func (p person) beforeThePlan(t *testing.T, why string, flags ...string) {
	t.Helper()
	out, err := p.start(t, flags...)
	if err == nil || !strings.Contains(out, why) || strings.Contains(out, "stage dir") {
		t.Errorf("%v, want %q:\n%s", err, why, out)
	}
}

func (p person) works(t *testing.T, label string) {
	t.Helper()
	if out, err := p.start(t, "--platform", "native"); err != nil || !strings.Contains(out, label+"\ninside\n") {
		t.Errorf("%v, want %q:\n%s", err, label, out)
	}
	if out, err := p.start(t); err != nil || !strings.Contains(out, label+"\ninside\n") {
		t.Errorf("auto: %v, want %q:\n%s", err, label, out)
	}
}

// mend is the command that doctor prints about native.
func (p person) mend(t *testing.T) string {
	t.Helper()
	out, _ := output(t, p.runs("/programs/on-ubuntu", "doctor", "--platform", "native")...) // it lacks an agent
	_, native, _ := strings.Cut(out, "fail  native  ")
	_, after, found := strings.Cut(native, "mend: ")
	line, _, _ := strings.Cut(after, "\n")
	if !found || !strings.Contains(line, "apparmor_parser") || strings.Contains(out, "sysctl") {
		t.Fatalf("doctor says\n%s", out)
	}
	return line
}

// parse gives profiles to AppArmor's parser.
func parse(t *testing.T, how, profiles string) {
	t.Helper()
	cmd := exec.Command("apparmor_parser", how) //nolint:noctx // a test's end must not end it
	cmd.Stdin = strings.NewReader(profiles)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
