//go:build linux

package cli_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"
)

func codeOf(err error) string {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return "0"
	case errors.As(err, &exit):
		return strconv.Itoa(exit.ExitCode())
	}
	return err.Error()
}

// plant puts a file into the newest run's directory: plant PATH FILE.
func plant(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: plant PATH FILE")
	}
	found, err := filepath.Glob(filepath.Join(ts.Getenv("XDG_STATE_HOME"), "claude-bottle/runs/*"))
	ts.Check(err)
	if len(found) == 0 {
		ts.Fatalf("no run to plant %s in", args[0])
	}
	ts.Check(os.WriteFile(filepath.Join(found[len(found)-1], args[0]), []byte(ts.ReadFile(args[1])), 0o600))
}
