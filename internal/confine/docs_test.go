//go:build linux

package confine

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestDocsAreCurrent holds docs/seccomp.md to the table.
func TestDocsAreCurrent(t *testing.T) {
	var b bytes.Buffer
	b.WriteString(docsHead)
	for _, p := range []Policy{Bottle(), Gateway()} {
		fmt.Fprintf(&b, "\n## The policy of a %s\n\n### Refused\n\n", p.Name)
		if p.Name == Gateway().Name {
			b.WriteString("All that a bottle is refused, and what TestGatewayPolicy tries:\n\n")
			p.Refused = confinedToItself()
		} else {
			b.WriteString("The name is that of the test: `go test ./internal/confine -run 'TestRefused/NAME$' -v`.\n\n")
		}
		b.WriteString("| name | what | answer | why |\n|---|---|---|---|\n")
		for _, row := range p.Refused {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", row.Name, row.What, unix.ErrnoName(row.Errno), row.Why)
		}
		if p.Name == Bottle().Name {
			b.WriteString("\nWhere `limits.disk` is set, these too:\n\n| name | what | answer | why |\n|---|---|---|---|\n")
			for _, row := range p.Bounded().Refused[len(p.Refused):] {
				fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", row.Name, row.What, unix.ErrnoName(row.Errno), row.Why)
			}
		}
		b.WriteString("\n### Allowed\n\nExcept as above. What is in neither list answers ENOSYS.\n\n")
		for _, family := range p.Allowed {
			calls := strings.Fields(family.Calls)
			slices.Sort(calls)
			fmt.Fprintf(&b, "* **%s:** %s\n", family.Name, strings.Join(calls, ", "))
		}
	}
	golden(t, "../../docs/seccomp.md", b.Bytes())
}

const docsHead = `<!-- Written by go test ./internal/confine -update from the tables in that package. -->

# The seccomp filter

Before anything else runs in a bottle, the guest puts a seccomp filter on all of its threads, and everything inside
inherits it, for good. It lies on top of the engine's own filter and never replaces one: the stricter answer counts.
Where there is no engine it is the only one. If a kernel does not take it, the bottle does not start. The gateway has a
stricter one of its own.

` + "`grep -E 'Seccomp|NoNewPrivs' /proc/self/status`" + ` inside shows it as the kernel sees it: 2 and 1.

* **What is listed is allowed; everything else does not exist.** A call that is younger than this table answers ENOSYS,
  as on an older kernel, and programs take the way they took there.
* **Other ABIs are closed.** An i386 call (or arm on arm64) kills its process, because no filter can read the arguments
  of i386's ` + "`socketcall`" + `; so 32-bit programs do not run. x32 answers ENOSYS.
* **High bits do not help.** Arguments that the kernel takes as 32 bits are compared as 32 bits (CVE-2019-10063).
* **The answer is one that programs know:** EPERM where the kernel would ask for a privilege, else what a kernel built
  without the thing would say.

What that costs people: strace, gdb and other tracers do not work, nor do sanitizers that trace their own process
at its end (` + "`ASAN_OPTIONS=detect_leaks=0`" + ` turns that off), sandboxes that make user namespaces (bubblewrap,
Chromium's: ` + "`--no-sandbox`" + `), 32-bit programs, ` + "`ping`" + `.
`
