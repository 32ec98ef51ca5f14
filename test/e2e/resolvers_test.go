package e2e_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"claude-bottle/test/engine"
)

// resolvers are what programs look names up with, in a bottle: for a name that
// is allowed, with its address in $AT, and for one that is not. $HERE has what
// the test built.
var resolvers = []struct{ name, script, want string }{
	{"glibc", `$HERE/lookup-glibc api.example.com evil.example.org`, "api.example.com 0: $AT\nevil.example.org -3:\n"},
	{"musl", `$HERE/lookup-musl api.example.com`, "api.example.com 0: $AT\n"},
	{"musl, refused", `$HERE/lookup-musl evil.example.org`, "evil.example.org -3:\n"},
	{"Go", `$HERE/lookup-go api.example.com`, "api.example.com [$AT] <nil>\n"},
	{"Go, refused", `$HERE/lookup-go evil.example.org | cut -d: -f1,3`, "evil.example.org [] lookup evil.example.org on $AT: server misbehaving\n"},
	{"c-ares", `node -e '
const dns = require("dns").promises;
(async () => {
	for (const name of ["api.example.com", "evil.example.org"])
		for (const what of ["resolve4", "resolve6", "resolveTxt"])
			await dns[what](name).then(found => console.log(what, String(found)), err => console.log(what, err.code));
})()'`, "resolve4 $AT\nresolve6 ENODATA\nresolveTxt ENODATA\nresolve4 EREFUSED\nresolve6 EREFUSED\nresolveTxt EREFUSED\n"},
	{"python", `python3 -c 'import socket; print(socket.gethostbyname("api.example.com"))'`, "$AT\n"},
	{"busybox", `busybox nslookup api.example.com | grep -c "^Address: $AT"; busybox nslookup evil.example.org | grep -c REFUSED`, "1\n2\n"},
	{"dig", `dig +short api.example.com; dig +tcp +short aPi.eXample.com; dig +short +bufsize=512 +dnssec +nocookie api.example.com; dig +noedns +short api.example.com`, "$AT\n$AT\n$AT\n$AT\n"},
	{
		"dig, other types", `dig api.example.com AAAA | grep -o 'status: [A-Z]*\|ANSWER: [0-9]*'; dig evil.example.org HTTPS | grep -o 'status: [A-Z]*'`,
		"status: NOERROR\nANSWER: 0\nstatus: REFUSED\n",
	},
	{
		"dig, other forms", `for form in "+edns=1 +noednsneg" +opcode=status +header-only "-c CH"; do dig $form api.example.com | grep -o 'status: [A-Z]*'; done`,
		"status: BADVERS\nstatus: NOTIMP\nstatus: FORMERR\nstatus: REFUSED\n",
	},
}

// TestResolvers looks names up as real programs do, in a bottle.
func TestResolvers(t *testing.T) {
	for _, program := range []string{"bwrap", "busybox", "dig", "gcc", "musl-gcc", "node"} {
		engine.Tool(t, program)
	}
	p := newWaysPerson(t)
	for program, argv := range map[string][]string{
		"lookup-go":    {"go", "build", "-o", "", "./testdata/lookup/main.go"},
		"lookup-glibc": {"gcc", "-o", "", "testdata/lookup/lookup.c"},
		"lookup-musl":  {"musl-gcc", "-static", "-o", "", "testdata/lookup/lookup.c"},
	} {
		for i, arg := range argv {
			if arg == "" {
				argv[i] = filepath.Join(p.project, program)
			}
		}
		if out, err := exec.CommandContext(t.Context(), argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", program, err, out)
		}
	}
	// One bottle for all; each has its end said.
	var script strings.Builder
	script.WriteString("export HERE=$PWD AT=$(sed -n 's/^nameserver //p' /etc/resolv.conf); echo $AT\n")
	for _, r := range resolvers {
		fmt.Fprintf(&script, "echo '== %s'\n%s\n", r.name, r.script)
	}
	got := p.run("start", "shell", "--platform", "native", "--cwd", "--yes", "--", script.String())
	if got.code != 0 {
		t.Fatalf("code %d\n%s", got.code, got.stderr)
	}
	at, rest, _ := strings.Cut(got.stdout, "\n")
	for _, r := range resolvers {
		_, said, _ := strings.Cut(rest, "== "+r.name+"\n")
		said, _, _ = strings.Cut(said, "== ")
		if want := strings.ReplaceAll(r.want, "$AT", at); said != want {
			t.Errorf("%s: %q, want %q", r.name, said, want)
		}
	}
}
