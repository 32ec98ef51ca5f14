package docker

import (
	"os"
	"os/exec"
	"runtime"

	"claude-bottle/internal/hint"
)

// starting is what of a machine decides how its engine is started, so that a
// hint holds a command only where it works.
type starting struct {
	linux     bool
	installed bool // the engine's program is there
	systemd   bool // it runs the machine
	script    bool // the engine has one of the older kind
}

func lookAtStarting() starting {
	s := starting{linux: runtime.GOOS == "linux"}
	for _, name := range []string{"dockerd", "/usr/sbin/dockerd", "/usr/local/bin/dockerd"} { // an ordinary user's PATH may lack sbin
		if _, err := exec.LookPath(name); err == nil {
			s.installed = true
		}
	}
	there := func(path string) bool { _, err := os.Stat(path); return err == nil }
	s.systemd = there("/run/systemd/system") // as sd_booted(3)
	s.script = there("/etc/init.d/docker")
	return s
}

// hint says how to get an engine at e, which does not answer.
func (s starting) hint(e endpoint) string {
	if e.Host != "unix:///var/run/docker.sock" && e.Host != "unix:///run/docker.sock" || !s.linux {
		if e.From == "default" {
			return "start Docker" + otherwise(e)
		}
		return "start that engine" + otherwise(e)
	}
	if s.installed {
		return s.service("start") + otherwise(e)
	}
	return hint.Install("Docker", "docker.io", map[string]string{ // Debian's own starts it
		"dnf":    "moby-engine && sudo systemctl enable --now docker",
		"zypper": "docker && sudo systemctl enable --now docker",
		"pacman": "docker && sudo systemctl enable --now docker",
		"apk":    "docker && sudo rc-update add docker && sudo service docker start",
	}) + otherwise(e)
}

// otherwise is what else a person can do.
func otherwise(e endpoint) string {
	switch e.From {
	case "default":
		return ", or set DOCKER_HOST"
	case "DOCKER_HOST":
		return ", or set DOCKER_HOST to another's address"
	}
	return ", or choose another of `docker context ls` with DOCKER_CONTEXT"
}

// service is how the system's service is started or restarted.
func (s starting) service(verb string) string {
	switch {
	case s.systemd:
		return verb + " Docker (`sudo systemctl " + verb + " docker`)"
	case s.script:
		return verb + " Docker (`sudo service docker " + verb + "`)"
	}
	return verb + " Docker"
}
