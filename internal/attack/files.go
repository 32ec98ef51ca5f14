package attack

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// engineSockets are where engines usually listen.
var engineSockets = []string{
	"/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock", "/run/podman/podman.sock", "/run/crio/crio.sock",
}

// fileAttempts are about what could be lying around.
func fileAttempts(t Targets) []attempt {
	return []attempt{
		{tried: "command the container engine", try: func(ctx context.Context) result { return engine(ctx, t.Sockets) }},
		{tried: "read files of this computer", try: func(context.Context) result { return foreignFiles(t.Files) }},
		{tried: "read the launcher's secrets", try: func(context.Context) result { return secrets(t.Variables) }},
		{tried: "change claude-bottle's own files", try: func(context.Context) result { return ownFiles(t.Program) }},
		{tried: "write in its workspace", must: true, try: func(context.Context) result { return workspace(t.Workspace) }},
	}
}

func engine(ctx context.Context, more []string) result {
	seen := map[string]bool{}
	for _, path := range append(more, engineSockets...) {
		seen[path] = true
		conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
		if err == nil {
			_ = conn.Close()
			return worked("%s answered", path)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return worked("%s is there: %s", path, Plain(err))
		}
	}
	return stopped("its socket is not in the bottle", "%s looked for, none there", count(len(seen), "place", "places"))
}

// foreignFiles of the host have no business in a bottle, under their paths
// there.
func foreignFiles(files []string) result {
	for _, path := range files {
		_, err := os.Lstat(path)
		switch {
		case err == nil:
			return worked("%s is there", path)
		case errors.Is(err, fs.ErrPermission):
			return worked("%s may be there: %s", path, Plain(err))
		}
	}
	return stopped("it has a file system of its own", "%s looked for, none there", count(len(files), "path", "paths"))
}

// secrets looks through what processes are told at their start.
func secrets(names []string) result {
	for _, name := range names {
		if _, set := os.LookupEnv(name); set {
			return worked("%s is set", name)
		}
	}
	if data, err := os.ReadFile("/proc/1/environ"); err == nil {
		for _, name := range names {
			if strings.Contains("\x00"+string(data), "\x00"+name+"=") {
				return worked("process 1 was started with %s", name)
			}
		}
	}
	return stopped("nobody brought them in", "%s looked for, none set", count(len(names), "variable", "variables"))
}

func ownFiles(program string) result {
	paths := []string{program, filepath.Join(filepath.Dir(program), "nonce"), "/etc/passwd", "/etc/resolv.conf", "/etc/hosts"}
	for _, path := range paths {
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			_ = file.Close()
			return worked("%s can be written to", path)
		}
	}
	return stopped("they are mounted read-only", "%s, none can be written to", count(len(paths), "file", "files"))
}

func workspace(dir string) result {
	file, err := os.CreateTemp(dir, ".try-*")
	if err != nil {
		return stopped("nothing should", "%s", Plain(err))
	}
	_, err = file.WriteString("work\n")
	if err = errors.Join(err, file.Close(), os.Remove(file.Name())); err != nil {
		return stopped("nothing should", "%s", Plain(err))
	}
	return worked("a file was written, and removed")
}
