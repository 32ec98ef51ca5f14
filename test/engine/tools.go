package engine

import (
	"context"
	"io"
	"os"
	"os/exec"
	"testing"
)

// tools are the programs that tests run beside the engine, by the Debian
// package that brings each. Compilers, git and Node.js are not among them: a
// machine on which this is built has those.
var tools = map[string]string{
	"aws":     "awscli",
	"busybox": "busybox-static",
	"bwrap":   "bubblewrap",
	"curl":    "curl",
	"dig":     "bind9-dnsutils",
	"gem":     "ruby",
	"gh":      "gh",
	"java":    "default-jdk-headless", // it runs a source file
	"mvn":     "maven",
	"openssl": "openssl",
	"pip3":    "python3-pip",
	"python3": "python3",
	"script":  "bsdutils",
	"skopeo":  "skopeo",
	"strace":  "strace",
	"tmux":    "tmux",
	"twine":   "twine",
	"wget":    "wget",

	"docker-registry": "docker-registry",
	"musl-gcc":        "musl-tools",
	"/usr/bin/cargo":  "cargo", // where bottles see it, which have no other

	"dbus-daemon":          "dbus-daemon",
	"gnome-keyring-daemon": "gnome-keyring",
	"secret-tool":          "libsecret-tools",
}

// modules are those of Python that tests import, of whichever python3 is first
// in PATH, and systemModules those of Debian's own, which a native bottle has.
const (
	modules       = "import pip, requests"
	systemModules = "import pip, grpc"
)

// deployPlugin is where Debian has what Maven publishes with.
const deployPlugin = "/usr/share/maven-repo/org/apache/maven/plugins/maven-deploy-plugin"

// Tools installs the programs that tests run, where they are missing and this
// is root on a machine with Debian's package manager. Elsewhere the tests say
// what they miss.
func Tools(ctx context.Context, log io.Writer) error {
	if err := Install(ctx, log, tools); err != nil {
		return err
	}
	var missing []string
	if exec.CommandContext(ctx, "python3", "-c", modules).Run() != nil {
		missing = append(missing, "python3-pip", "python3-requests")
	}
	if exec.CommandContext(ctx, "/usr/bin/python3", "-c", systemModules).Run() != nil {
		missing = append(missing, "python3-pip", "python3-grpcio")
	}
	if _, err := os.Stat(deployPlugin); err != nil {
		missing = append(missing, "libmaven-deploy-plugin-java")
	}
	if len(missing) == 0 {
		return nil
	}
	return aptInstall(ctx, log, missing...)
}

// Tool returns the path of a program, or skips the test; it fails when the
// tools were promised.
func Tool(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		reason := err.Error()
		if name := tools[program]; name != "" {
			reason += " (apt-get install " + name + ")"
		}
		Missing(t, PartTools, reason)
	}
	return path
}
