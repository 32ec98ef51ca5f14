package docker

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"claude-bottle/internal/bottle"
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
		etc("hosts"):        hosts(spec, addresses),
		l.parts.Paths.Nonce: l.nonce,
	}
	if l.plan.Docker.Pipelock != nil {
		files[etc(pipelockFile)] = l.plan.Docker.Pipelock.Config
	}
	if l.plan.Docker.Alone {
		if err := l.makeHandover(); err != nil {
			return err
		}
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

// hosts names the bottle itself, as many programs look up their own host.
func hosts(spec bottle.Spec, addresses addressing) string {
	own := addresses.Agent
	if !own.IsValid() {
		own = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return fmt.Sprintf("127.0.0.1\tlocalhost\n%s\t%s\n", own, spec.Slug)
}

// makeHandover makes the directory in which the gateway waits for the guest,
// and which is nobody's but the run's user's. What an attempt that gave way
// left there is removed first.
func (l *launch) makeHandover() error {
	if err := os.RemoveAll(l.parts.Paths.Handover); err != nil {
		return fmt.Errorf("remove an older handover directory: %w", err)
	}
	return l.Run.MakeDir(bottle.HandoverDir, 0o700, l.plan.Spec.UID, l.plan.Spec.GID)
}

// endHandover removes the directory, before anything of the agent's runs: in
// one that is removed nobody can make a socket again.
func (l *launch) endHandover() error {
	if !l.plan.Docker.Alone {
		return nil
	}
	if err := os.RemoveAll(l.parts.Paths.Handover); err != nil {
		return fmt.Errorf("remove the handover directory: %w", err)
	}
	return nil
}
