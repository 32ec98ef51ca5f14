package hint

import "os/exec"

// managers are the package managers that are looked for, best first, each with
// how it installs.
var managers = []struct{ name, install string }{
	{"apt-get", "sudo apt-get install "},
	{"dnf", "sudo dnf install "},
	{"zypper", "sudo zypper install "},
	{"pacman", "sudo pacman -S "},
	{"apk", "sudo apk add "},
}

// Install says to install what, with the command that does it on this machine
// where its package manager is known. others are the package managers that call
// the package otherwise than name, or need more than one word.
func Install(what, name string, others map[string]string) string {
	return install(what, name, others, func(program string) bool {
		_, err := exec.LookPath(program)
		return err == nil
	})
}

func install(what, name string, others map[string]string, has func(program string) bool) string {
	for _, m := range managers {
		if !has(m.name) {
			continue
		}
		if other, ok := others[m.name]; ok {
			name = other
		}
		return "install " + what + " (`" + m.install + name + "`)"
	}
	return "install " + what
}
