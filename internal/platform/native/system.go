//go:build linux

package native

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"claude-bottle/internal/bottle"
)

// rootLinks are directories of the host's root that are links on most systems
// and directories on others.
var rootLinks = []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32"}

// systemPaths are what programs of /usr read in /etc and /sys. Nothing in the
// list is a person's own, and nothing holds a credential: /etc/ssl as a whole,
// with its private keys, is not in it, nor is what npm, pip and git are
// configured by.
var systemPaths = []string{
	"/etc/alternatives", "/etc/bash.bashrc", "/etc/bash_completion.d", "/etc/ca-certificates", "/etc/ca-certificates.conf",
	"/etc/crypto-policies", "/etc/debian_version", "/etc/fonts", "/etc/inputrc", "/etc/java-11-openjdk",
	"/etc/java-17-openjdk", "/etc/java-21-openjdk", "/etc/java-25-openjdk", "/etc/ld.so.cache", "/etc/ld.so.conf",
	"/etc/ld.so.conf.d", "/etc/locale.alias", "/etc/localtime", "/etc/magic", "/etc/manpath.config",
	"/etc/maven/logging", "/etc/maven/m2.conf", "/etc/mime.types",
	"/etc/os-release", "/etc/perl", "/etc/pki/ca-trust/extracted", "/etc/pki/tls/cert.pem", "/etc/pki/tls/certs",
	"/etc/profile", "/etc/protocols", "/etc/python3", "/etc/python3.11", "/etc/python3.12", "/etc/python3.13",
	"/etc/services", "/etc/shells", "/etc/ssl/cert.pem", "/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/terminfo",
	"/etc/timezone", "/etc/vim", "/sys/devices/system/cpu",
}

// shown is what of the host a bottle sees, read-only.
type shown struct {
	Mounts []bottle.NativeMount
	// Copies are small files. For each mount bubblewrap reads the list of all
	// that there are, so that a copy is had for a tenth of the time.
	Copies []bottle.NativeMount
	Links  []bottle.NativeLink
}

// system is the host's /usr and what belongs to it.
func system() shown {
	s := shown{Mounts: []bottle.NativeMount{{Source: "/usr", Target: "/usr"}}}
	for _, name := range rootLinks {
		path := "/" + name
		info, err := os.Lstat(path)
		switch {
		case err != nil:
		case info.Mode()&fs.ModeSymlink != 0:
			if target, err := os.Readlink(path); err == nil {
				s.Links = append(s.Links, bottle.NativeLink{Name: path, Target: target})
			}
		case info.IsDir():
			s.mount(path)
		}
	}
	for _, path := range systemPaths {
		info, err := os.Lstat(path)
		switch {
		case err != nil:
		case info.IsDir() && !s.addSmall(path):
			s.mount(path)
		case !info.IsDir() && !s.addFile(path, info):
			s.mount(path)
		}
	}
	return s
}

func (s *shown) mount(path string) {
	s.Mounts = append(s.Mounts, bottle.NativeMount{Source: path, Target: path})
}

// Bounds of what is copied.
const (
	maxCopy    = 128 << 10 // bytes a file
	maxEntries = 8         // in a directory, all below it included
)

// addFile takes a file as a copy, or as a link where it is one into /usr. It
// is false for all others: what a link leads to may be elsewhere, as
// /etc/localtime leads to /etc/static on another system, and what only some may
// read stays what the kernel says it is.
func (s *shown) addFile(path string, info fs.FileInfo) bool {
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := filepath.EvalSymlinks(path)
		if err != nil {
			return true // it leads nowhere
		}
		if !within(target, "/usr") {
			return false
		}
		s.Links = append(s.Links, bottle.NativeLink{Name: path, Target: target})
		return true
	case info.Mode().IsRegular() && info.Mode().Perm()&0o004 != 0 && info.Size() <= maxCopy:
		s.Copies = append(s.Copies, bottle.NativeMount{Source: path, Target: path})
		return true
	}
	return false
}

// addSmall takes a directory file by file if that is few.
func (s *shown) addSmall(dir string) bool {
	found, left := shown{}, maxEntries-1 // one is the directory itself
	if !found.addBelow(dir, &left) {
		return false
	}
	s.Copies, s.Links = append(s.Copies, found.Copies...), append(s.Links, found.Links...)
	return true
}

// addBelow takes what is below a directory, of which no more is read than may
// be left: certificates are hundreds.
func (s *shown) addBelow(dir string, left *int) bool {
	opened, err := os.Open(dir)
	if err != nil {
		return false
	}
	defer func() { _ = opened.Close() }()
	entries, err := opened.ReadDir(*left + 1)
	if err != nil && !errors.Is(err, io.EOF) || len(entries) > *left {
		return false
	}
	*left -= len(entries)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		if entry.IsDir() {
			if !s.addBelow(path, left) {
				return false
			}
			continue
		}
		info, err := entry.Info()
		if err != nil || !s.addFile(path, info) {
			return false
		}
	}
	return true
}
