//go:build linux

package attacks

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/escape.md anew")

const docsHead = `<!-- Written by go test ./test/escape/attacks -update from the table in that package. -->

# Getting out

Attacks from inside, each tried in a bottle of every platform: docker with runc, docker with gVisor, native as root and
native as an ordinary user. A sample runs with ` + "`make test`, all with `make test-escape`" + `; ` + "`TestAttacks`" + ` holds each
result. ` + "`TestAttacksFromWithin`" + ` makes them as root of namespaces of their own, in native bottles with
` + "`nested: true`" + `, "on nested" below; ` + "`TestAttacksWithMounts`" + ` where the manifest has ` + "`mounts:` and `toolchains: auto`, `TestAttacksOnPipelock`" + `
those that no policy answers where the gateway is pipelock's stand-in. They are made in a network that leads nowhere, in which the test plays the host,
the world, its name server and the metadata service, and listens: nothing may be heard there. ` + "`TestOpenDoorsAreSeen`" + `
makes the same attacks where every door is open, and they say so.

Anybody may run them in a bottle; what is outside is not known then, and those attacks are *absent*:

    CGO_ENABLED=0 go build -o escape ./test/escape/cmd/escape
    claude-bottle start AGENT --cwd          # and inside: ./escape [--full] [FAMILY | ID…]
`

const docsTrees = `
## Against the host's commands

What an agent can leave in its workspace and home for a command of the host's to step on: to read, write, wait for or run
what it must not. ` + "`TestHostileTrees`" + ` leaves all of it, then runs what touches runs: the measuring of the disk, the summary
at the end, ` + "`ps`, `info`, `start --cwd`" + ` in that work, ` + "`cleanup`" + `. ` + "`TestRacingTree`" + ` runs them while a bottle exchanges files,
directories, pipes and links for one another. A directory of the host's that the tree leads to must be as before, what
is in it must not be in a copy, nothing may run, and nothing printed may act on a terminal.

| id | what is left |
|---|---|
`

const docsHogs = `
## All that there is

` + "`TestHogs`" + ` has a bottle take all that it can, while another bottle asks through its own gateway, which must answer each
time, and within seconds. Where a platform cannot enforce the limit, it refuses the bottle by the limit's name.

| id | what is taken | limit |
|---|---|---|
`

const docsCounters = `
## What is its user's

A bottle has its person's uid, and what the kernel counts for a uid is one number inside and outside. ` + "`TestNeighbourOnTheSameUID`" + `
has a bottle take all that it can of each, while a program of the same uid, outside, takes a little, and another bottle of
that person starts.

| what is taken | where it is bounded |
|---|---|
`

// TestDocsAreCurrent holds docs/escape.md to the table.
func TestDocsAreCurrent(t *testing.T) {
	var b bytes.Buffer
	b.WriteString(docsHead)
	b.WriteString("\n| id | what is tried | what comes of it |\n|---|---|---|\n")
	for _, a := range Table() {
		came := []string{"stopped"}
		for _, d := range declarations() {
			if d.ID == a.ID {
				came = append(came, fmt.Sprintf("%s: *%s*: %s", place(d.Place), d.Outcome, d.Why))
			}
		}
		if a.Full {
			came = append(came, "`make test-escape` alone")
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", a.ID, a.What, strings.Join(came, "; "))
	}
	b.WriteString(docsTrees)
	for _, p := range Plants() {
		fmt.Fprintf(&b, "| %s | %s |\n", p.ID, p.What)
	}
	b.WriteString(docsHogs)
	for _, h := range Hogs() {
		limit := h.Limit
		if limit != "" {
			limit = "`" + limit + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", h.ID, h.What, limit)
	}
	b.WriteString(docsCounters)
	for _, c := range Counters() {
		where := "docker runc, native"
		if c.Watches {
			where = "native"
		}
		fmt.Fprintf(&b, "| %s | %s |\n", c.What, where)
	}
	const path = "../../../docs/escape.md"
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil { //nolint:gosec // G306: a document
			t.Fatal(err)
		}
	}
	if current, err := os.ReadFile(path); err != nil || !bytes.Equal(current, b.Bytes()) {
		t.Errorf("docs/escape.md is not what the table says (%v): go test ./test/escape/attacks -update", err)
	}
}

func place(name string) string {
	if name == "" {
		return "everywhere"
	}
	return "on " + name
}

// TestTableIsInOrder: an id is said once, and what is declared is there.
func TestTableIsInOrder(t *testing.T) {
	seen := map[string]bool{}
	for _, a := range Table() {
		if seen[a.ID] || strings.Count(a.ID, "/") != 1 || a.What == "" || a.try == nil {
			t.Errorf("%q", a.ID)
		}
		seen[a.ID] = true
	}
	for _, d := range declarations() {
		if !seen[d.ID] || d.Why == "" {
			t.Errorf("%q is declared", d.ID)
		}
	}
	if len(seen) < 130 {
		t.Errorf("%d attacks", len(seen))
	}
}
