package docker

import (
	"fmt"
	"os"
	"path/filepath"

	"claude-bottle/internal/platform"
)

// writeFiles writes the files that are mounted into the run's containers and
// that depend on its user and its addresses, and the nonce that proves to the
// guest that the engine mounts our file system.
func (l *launch) writeFiles() error {
	spec, addresses := l.plan.Spec, l.parts.Addresses
	etc := func(name string) string { return filepath.Join(l.parts.Paths.Etc, name) }
	files := map[string]string{
		etc("passwd"):       platform.Passwd(spec, dialUID(spec.UID)),
		etc("group"):        platform.Group(spec, dialUID(spec.UID)),
		etc("resolv.conf"):  fmt.Sprintf("nameserver %s\n", addresses.Gateway),
		etc("hosts"):        fmt.Sprintf("127.0.0.1\tlocalhost\n%s\t%s\n", addresses.Agent, spec.Slug),
		l.parts.Paths.Nonce: l.nonce,
	}
	for path, text := range files {
		err := os.WriteFile(path, []byte(text), 0o644)
		if err == nil {
			err = os.Chmod(path, 0o644) // also under a strict umask: the agent reads them
		}
		if err != nil {
			return fmt.Errorf("write the bottle's files: %w", err)
		}
	}
	return nil
}
