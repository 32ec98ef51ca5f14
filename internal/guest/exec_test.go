//go:build linux

package guest

import (
	"bytes"
	"strings"
	"testing"

	"claude-bottle/internal/wire"
)

// result is one process and what it printed.
type result struct {
	exit           wire.Exit
	stdout, stderr string
}

type runner interface {
	shell(t *testing.T, script string) result
}

func run(t *testing.T, client *wire.GuestClient, start wire.Start, stdin string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	exit, err := client.Exec(deadline(t), start, wire.Streams{
		Stdin: strings.NewReader(stdin), Stdout: &stdout, Stderr: &stderr,
	})
	if err != nil {
		t.Fatalf("Exec(%q): %v", start.Argv, err)
	}
	return result{exit, stdout.String(), stderr.String()}
}

func shell(t *testing.T, client *wire.GuestClient, script string) result {
	t.Helper()
	return run(t, client, wire.Start{Argv: []string{"sh", "-c", script}}, "")
}

func TestExecCarriesStreamsAndCode(t *testing.T) {
	b := launch(t)
	got := run(t, b.GuestClient, wire.Start{Argv: []string{"sh", "-c", "cat; echo err >&2; exit 7"}}, "in")
	if want := (result{wire.Exit{Code: 7}, "in", "err\n"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
