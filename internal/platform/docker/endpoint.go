package docker

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"claude-bottle/internal/hint"
)

// endpoint is where an engine listens and how that was found out.
type endpoint struct {
	Host string // unix:///path
	From string // for people: "DOCKER_HOST", "context colima", "default"
}

// locator finds the engine as the docker program does. It reads the
// environment and docker's own configuration, and connects to nothing.
type locator struct {
	getenv func(string) string
	home   string // the person's home directory
}

// find returns the endpoints to try, best first: DOCKER_HOST, then
// DOCKER_CONTEXT, then the current context of docker's configuration, each of
// which is final, then the usual sockets that exist.
func (l locator) find() ([]endpoint, error) {
	if host := l.getenv("DOCKER_HOST"); host != "" {
		return local(endpoint{host, "DOCKER_HOST"})
	}
	name, from := l.getenv("DOCKER_CONTEXT"), "DOCKER_CONTEXT"
	if name == "" {
		var err error
		if name, err = l.currentContext(); err != nil {
			return nil, err
		}
		from = "context " + name
	}
	if name != "" && name != "default" {
		host, err := l.contextHost(name)
		if err != nil {
			return nil, err
		}
		return local(endpoint{host, from})
	}
	return l.sockets(), nil
}

// configDir is docker's configuration directory.
func (l locator) configDir() string {
	if dir := l.getenv("DOCKER_CONFIG"); dir != "" {
		return dir
	}
	return filepath.Join(l.home, ".docker")
}

// currentContext is the one that `docker context use` chose; empty for none.
func (l locator) currentContext() (string, error) {
	path := filepath.Join(l.configDir(), "config.json")
	var config struct {
		CurrentContext string `json:"currentContext"`
	}
	err := readJSON(path, &config)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return "", nil
	}
	if err != nil {
		return "", hint.With(fmt.Errorf("read docker's configuration: %w", err),
			"mend "+path+", or set DOCKER_HOST")
	}
	return config.CurrentContext, nil
}

// contextHost reads the host of a named context from docker's context store,
// where a context's directory is the SHA-256 of its name.
func (l locator) contextHost(name string) (string, error) {
	sum := sha256.Sum256([]byte(name))
	path := filepath.Join(l.configDir(), "contexts", "meta", hex.EncodeToString(sum[:]), "meta.json")
	var meta struct {
		Endpoints map[string]struct{ Host string }
	}
	if err := readJSON(path, &meta); err != nil {
		return "", hint.With(fmt.Errorf("read docker context %q: %w", name, err),
			"choose one of `docker context ls` with DOCKER_CONTEXT, or set DOCKER_HOST")
	}
	host := meta.Endpoints["docker"].Host
	if host == "" {
		return "", hint.With(fmt.Errorf("docker context %q names no docker host", name),
			"choose another of `docker context ls` with DOCKER_CONTEXT")
	}
	return host, nil
}

// sockets are the usual places, those that exist. With none the first is
// returned, so that the error names the place that people expect.
func (l locator) sockets() []endpoint {
	paths := []string{"/var/run/docker.sock"}
	if dir := l.getenv("XDG_RUNTIME_DIR"); dir != "" {
		paths = append(paths, filepath.Join(dir, "docker.sock"))
	}
	for _, below := range []string{
		".docker/run/docker.sock", ".docker/desktop/docker.sock",
		".colima/default/docker.sock", ".orbstack/run/docker.sock", ".rd/docker.sock",
	} {
		paths = append(paths, filepath.Join(l.home, below))
	}
	var found []endpoint
	for _, path := range paths {
		info, err := os.Stat(path)
		if err == nil && info.Mode()&fs.ModeSocket != 0 {
			found = append(found, endpoint{"unix://" + path, "default"})
		}
	}
	if len(found) == 0 {
		return []endpoint{{"unix://" + paths[0], "default"}}
	}
	return found
}

// local refuses an engine that is not reached through a local socket: bottles
// are made of directories of this machine, which such an engine cannot mount.
func local(e endpoint) ([]endpoint, error) {
	scheme, path, found := strings.Cut(e.Host, "://")
	if found && scheme == "unix" && strings.HasPrefix(path, "/") {
		return []endpoint{e}, nil
	}
	shown := scheme + "://"
	if !found {
		shown = fmt.Sprintf("%q", e.Host)
	}
	return nil, hint.With(
		fmt.Errorf("engine %s (from %s) is not local: a bottle mounts directories of this machine", shown, e.From),
		"use an engine with a local socket: unset DOCKER_HOST and run `docker context use default`")
}

func readJSON(path string, into any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
