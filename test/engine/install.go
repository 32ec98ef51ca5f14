package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
)

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

// Install installs the Debian packages whose program is missing; packages
// maps programs to packages.
func Install(ctx context.Context, log io.Writer, packages map[string]string) error {
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

// Bubblewrap installs what native bottles need and the machine lacks, and says so
// first.
func Bubblewrap(ctx context.Context, log io.Writer) error {
	if len(lacking(bubblewrap)) == 0 {
		return nil
	}
	if os.Getuid() != 0 {
		return errors.New("bubblewrap is not installed, and only root can: sudo apt-get install bubblewrap")
	}
	fmt.Fprintln(log, "Installing bubblewrap (apt-get), which makes their namespaces.")
	return Install(ctx, log, bubblewrap)
}

var bubblewrap = map[string]string{"bwrap": "bubblewrap"}

// apt lets one installation go on at a time: the package manager refuses two.
var apt sync.Mutex

func aptInstall(ctx context.Context, log io.Writer, packages ...string) error {
	apt.Lock()
	defer apt.Unlock()
	env := []string{"DEBIAN_FRONTEND=noninteractive"}
	if err := run(ctx, log, "", env, "apt-get", "-q", "update"); err != nil {
		return err
	}
	return run(ctx, log, "", env, "apt-get", append([]string{"-q", "install", "-y", "--no-install-recommends"}, packages...)...)
}
