package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strings"
)

// intention says what start would do to the machine.
func intention(gvisor bool) string {
	what := "start a Docker engine of its own, and stop it afterwards"
	if missing := lacking(map[string]string{"dockerd": "docker.io", "iptables": "iptables"}); len(missing) > 0 {
		what = "install " + strings.Join(missing, " and ") + " (apt-get), " + what
	}
	if gvisor {
		what += ", with gVisor built from its Go module"
	}
	return what
}

// lacking are the packages whose program is not there.
func lacking(packages map[string]string) []string {
	var missing []string
	for _, program := range slices.Sorted(maps.Keys(packages)) {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, packages[program])
		}
	}
	return missing
}

// install installs the Debian packages whose program is missing; packages
// maps programs to packages.
func install(ctx context.Context, log io.Writer, packages map[string]string) error {
	missing := lacking(packages)
	if len(missing) == 0 {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return errors.New("missing: " + strings.Join(missing, ", ") + " (only Debian's package manager is known here)")
	}
	if err := aptInstall(ctx, log, missing...); err != nil {
		return err
	}
	if missing := lacking(packages); len(missing) > 0 {
		return fmt.Errorf("still missing after the installation: %s", strings.Join(missing, ", "))
	}
	return nil
}

func aptInstall(ctx context.Context, log io.Writer, packages ...string) error {
	env := []string{"DEBIAN_FRONTEND=noninteractive"}
	if err := run(ctx, log, "", env, "apt-get", "-q", "update"); err != nil {
		return err
	}
	return run(ctx, log, "", env, "apt-get", append([]string{"-q", "install", "-y", "--no-install-recommends"}, packages...)...)
}
