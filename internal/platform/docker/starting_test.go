package docker

import (
	"strings"
	"testing"
)

// A hint's command works on the machine that it is printed on: what is not
// installed is not started, and a service manager that is not there is not asked.
func TestHowToGetAnEngine(t *testing.T) {
	usual := endpoint{"unix:///var/run/docker.sock", "default"}
	for _, c := range []struct {
		name string
		s    starting
		e    endpoint
		want string // a prefix
	}{
		{"systemd", starting{linux: true, installed: true, systemd: true, script: true}, usual, "start Docker (`sudo systemctl start docker`), or set DOCKER_HOST"},
		{"init scripts", starting{linux: true, installed: true, script: true}, usual, "start Docker (`sudo service docker start`), or set DOCKER_HOST"},
		{"neither, as in a container", starting{linux: true, installed: true}, usual, "start Docker, or set DOCKER_HOST"},
		{"not installed", starting{linux: true, systemd: true}, usual, "install Docker"},
		{"not Linux", starting{systemd: true}, usual, "start Docker, or set DOCKER_HOST"},
		{"the system's by its address", starting{linux: true, installed: true, systemd: true}, endpoint{usual.Host, "DOCKER_HOST"}, "start Docker (`sudo systemctl start docker`), or set DOCKER_HOST to another's address"},
		{"somebody's own", starting{linux: true, installed: true, systemd: true}, endpoint{"unix:///x/docker.sock", "DOCKER_HOST"}, "start that engine, or set DOCKER_HOST to another's address"},
		{"a context", starting{linux: true, installed: true, systemd: true}, endpoint{"unix:///x/docker.sock", "context colima"}, "start that engine, or choose another of `docker context ls` with DOCKER_CONTEXT"},
	} {
		if got := c.s.hint(c.e); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
