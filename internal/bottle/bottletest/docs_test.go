//go:build linux

package bottletest

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"claude-bottle/internal/probe"
)

var update = flag.Bool("update", false, "write docs/conformance.md anew")

const docsHead = `<!-- Written by go test ./internal/bottle/bottletest -update from the suite and its one table of what is declared. -->

# What every platform does

One suite (` + "`internal/bottle/bottletest`" + `) holds every platform to the same contract, row by row: ` + "`TestConformanceRunc`,\n`TestConformanceGvisor`" + `, ` + "`TestConformance`" + ` (native, as root) and ` + "`TestConformanceAsUser`" + `. A platform does all of it, or
says here what it does not. The last column is a platform without isolation, for tests of what is above platforms.

**+** is done; **–** is not, for the reason below; **±** is done, or a manifest that asks for it is refused before the
plan, by name.
`

// TestDocsAreCurrent holds docs/conformance.md to the suite, and the table of
// what is declared to rows that exist: one that was renamed would be declared
// no longer.
func TestDocsAreCurrent(t *testing.T) {
	var b bytes.Buffer
	b.WriteString(docsHead)
	var known []string
	for _, g := range groups() {
		var names []string
		for _, row := range g.rows {
			names = append(names, row.name)
		}
		if g.name == "crash" {
			names = crashNames()
		}
		known = append(known, docsTable(&b, g.name, g.name+"/", names)...)
	}
	known = append(known, docsTable(&b, "What a launch checks from inside before it is ready", "probe/", probe.Kinds())...)
	for _, d := range Declared() {
		if !slices.Contains(known, d.Row) {
			t.Errorf("%s declares %q, which is no row", d.Place, d.Row)
		}
	}
	const path = "../../../docs/conformance.md"
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if current, err := os.ReadFile(path); err != nil || !bytes.Equal(current, b.Bytes()) {
		t.Errorf("docs/conformance.md is not what the suite says (%v): go test ./internal/bottle/bottletest -update", err)
	}
}

// docsTable writes one, and the reasons of what is declared in it.
func docsTable(b *bytes.Buffer, title, prefix string, names []string) (known []string) {
	fmt.Fprintf(b, "\n## %s\n\n| |", strings.ToUpper(title[:1])+title[1:])
	for _, place := range Places() {
		fmt.Fprintf(b, " %s |", place)
	}
	fmt.Fprintf(b, "\n|---|%s\n", strings.Repeat("---|", len(Places())))
	var reasons []string
	for _, name := range names {
		known = append(known, prefix+name)
		fmt.Fprintf(b, "| %s |", name)
		for _, place := range Places() {
			declared, is := place.declared(prefix + name)
			mark := "+"
			if is {
				mark = "–"
				if declared.Refused {
					mark = "±"
				}
				reasons = append(reasons, fmt.Sprintf("* %s, %s: %s", name, place, declared.Why))
			}
			fmt.Fprintf(b, " %s |", mark)
		}
		b.WriteString("\n")
	}
	if len(reasons) > 0 {
		fmt.Fprintf(b, "\n%s\n", strings.Join(reasons, "\n"))
	}
	return known
}
