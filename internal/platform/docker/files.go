package docker

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"claude-bottle/internal/bottle"
)

// person is the agent's name inside, as in the image that the existing tool
// uses.
const person = "node"

// writeFiles writes the files that are mounted into the run's containers and
// that depend on its user and its addresses, and the nonce that proves to the
// guest that the engine mounts our file system.
func (l *launch) writeFiles() error {
	spec, addresses := l.plan.Spec, l.parts.Addresses
	etc := func(name string) string { return filepath.Join(l.parts.Paths.Etc, name) }
	files := map[string]string{
		etc("passwd"):       passwd(spec),
		etc("group"):        group(spec),
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

// passwd has an entry for each user that runs inside: many programs fail when
// their own uid has none.
func passwd(spec bottle.Spec) string {
	return strings.Join([]string{
		"root:x:0:0:root:/root:/bin/sh",
		fmt.Sprintf("%s:x:%d:%d:%s:%s:/bin/bash", person, spec.UID, spec.GID, person, spec.Home),
		fmt.Sprintf("claude-bottle:x:%d:%d:launcher:/:/bin/false", dialUID(spec.UID), dialUID(spec.UID)),
		"nobody:x:65534:65534:nobody:/nonexistent:/bin/false",
	}, "\n") + "\n"
}

func group(spec bottle.Spec) string {
	return strings.Join([]string{
		"root:x:0:",
		fmt.Sprintf("%s:x:%d:", person, spec.GID),
		fmt.Sprintf("claude-bottle:x:%d:", dialUID(spec.UID)),
		"nogroup:x:65534:",
	}, "\n") + "\n"
}
