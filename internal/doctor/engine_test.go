package doctor

import (
	"regexp"
	"testing"
)

// engines are judgements of whole engines.
func engines() []judgement {
	debian := Engine{
		Endpoint: "unix:///run/docker.sock", From: "DOCKER_HOST", Version: "20.10.24+dfsg1", API: "1.41", Cgroups: "1",
		Packages: "apt-get", Security: []string{"name=seccomp,profile=default"}, DefaultRuntime: "runc",
		Runtimes: map[string][]string{"runc": nil, "runsc": {"--ignore-cgroups"}},
		Components: []Component{
			{Name: ComponentEngine, Version: "20.10.24+dfsg1", Build: "5d6db84"},
			{Name: ComponentContainerd, Version: "1.6.20~ds1", Build: "1.6.20~ds1-1+deb12u3"},
			{Name: ComponentRunc, Version: "1.1.5+ds1", Build: "1.1.5+ds1-1+deb12u1"},
			{Name: "docker-init", Version: "0.19.0"},
		},
	}
	current := Engine{
		Endpoint: "unix:///var/run/docker.sock", From: "default", Version: "29.9.3", API: "1.56", Cgroups: "2",
		Packages: "dnf", Security: []string{"name=apparmor", "name=seccomp,profile=builtin", "name=cgroupns"}, DefaultRuntime: "runc",
		Runtimes: map[string][]string{"runc": nil, "runsc": nil},
		Components: []Component{
			{Name: ComponentEngine, Version: "29.9.3"}, {Name: ComponentContainerd, Version: "v2.2.1"}, {Name: ComponentRunc, Version: "1.4.3"},
		},
	}
	old := current
	old.AuthPlugins, old.Runtimes = []string{"opa"}, map[string][]string{"runc": nil}
	old.Components = []Component{{Name: ComponentEngine, Version: "27.1.0"}, {Name: ComponentRunc, Version: "1.2.0-rc.2"}}
	desktop := current
	desktop.Packages = ""
	desktop.Components = []Component{{Name: ComponentEngine, Version: "29.7.0"}, {Name: ComponentDesktop, Version: "4.44.2"}}
	odd := current
	odd.Components = []Component{{Name: ComponentEngine, Version: "unknown-version"}}
	odd.Security = []string{"name=seccomp,profile=unconfined", "name=rootless"}
	odd.Lacks, odd.Cgroups = []string{"memory", "pids"}, "1"
	remapped := current
	remapped.Components, remapped.Security = nil, []string{"name=userns", "name=seccomp,profile=builtin"}
	return []judgement{
		{"engine: none", JudgeEngine(Engine{Problem: "engine unix:///var/run/docker.sock (from default): there is no such socket", Hint: "start Docker (`sudo systemctl start docker`), or set DOCKER_HOST"})},
		{"engine: not for this user", JudgeEngine(Engine{Problem: "engine unix:///var/run/docker.sock (from default): permission denied", Hint: "join the group that owns the socket: `sudo usermod -aG docker $USER`, then log in again"})},
		{"engine: Debian's", JudgeEngine(debian)},
		{"engine: current", JudgeEngine(current)},
		{"engine: old, with an authorization plugin", JudgeEngine(old)},
		{"engine: Docker Desktop", JudgeEngine(desktop)},
		{"engine: odd", JudgeEngine(odd)},
		{"engine: remapped", JudgeEngine(remapped)},
	}
}

func TestHolesTable(t *testing.T) {
	cve := regexp.MustCompile(`^CVE-20\d\d-\d{4,}$`)
	seen := map[string]bool{}
	for _, h := range holes() {
		if !cve.MatchString(h.cve) || seen[h.cve] {
			t.Errorf("%q: not a CVE's id, or there twice", h.cve)
		}
		seen[h.cve] = true
		if h.what == "" || h.component == "" || len(h.fixed) == 0 {
			t.Errorf("%s: a row says what, of which component, and where it is fixed", h.cve)
		}
		for _, text := range h.fixed {
			fix, ok := parseVersion(text)
			if !ok {
				t.Errorf("%s: %q is no version", h.cve, text)
			}
			if h.open(fix) {
				t.Errorf("%s: open in %s, which fixes it", h.cve, text)
			}
		}
		if _, ok := parseVersion(h.from); h.from != "" && !ok {
			t.Errorf("%s: %q is no version", h.cve, h.from)
		}
	}
}

func TestHoleVersions(t *testing.T) {
	cases := []struct {
		cve, version string
		open         bool
	}{
		{"CVE-2024-21626", "1.1.11", true},
		{"CVE-2024-21626", "1.1.12", false},
		{"CVE-2024-21626", "1.0.3", true},
		{"CVE-2024-21626", "1.2.0", false},
		{"CVE-2025-31133", "1.1.15", true}, // a line without a fix
		{"CVE-2025-31133", "1.2.7", true},
		{"CVE-2025-31133", "1.2.8", false},
		{"CVE-2025-31133", "1.3.2", true},
		{"CVE-2025-31133", "1.4.0-rc.2", true},
		{"CVE-2025-31133", "1.4.0-rc.3", false},
		{"CVE-2025-31133", "1.4.0", false},
		{"CVE-2025-31133", "1.10.0", false},
		{"CVE-2021-30465", "1.0.0~rc93+ds1", true},
		{"CVE-2021-30465", "1.0.0~rc95+ds1", false},
		{"CVE-2023-27561", "1.0.0-rc94", false}, // before it came in
		{"CVE-2023-27561", "1.1.4", true},
		{"CVE-2024-41110", "25.0.6", false},
		{"CVE-2024-41110", "24.0.9", true},
		{"CVE-2024-41110", "26.0.2", true},
		{"CVE-2024-41110", "27.1.0", true},
		{"CVE-2024-41110", "28.0.0", false},
		{"CVE-2024-32473", "25.0.3", false},
		{"CVE-2024-32473", "26.0.1", true},
		{"CVE-2026-42306", "28.5.2", true},
		{"CVE-2026-42306", "29.5.0", true},
		{"CVE-2026-42306", "29.5.1", false},
		{"CVE-2026-42306", "29.10.0", false},
		{"CVE-2026-42306", "2.0.0-beta.13", true},
		{"CVE-2026-42306", "v2.0.0-beta.14", false},
		{"CVE-2024-29018", "2.0.0-beta.0", false}, // the module's number, younger than 28
		{"CVE-2020-15257", "1.6.20~ds1", false},
		{"CVE-2024-25621", "2.0.6", true},
		{"CVE-2024-25621", "2.2.0", false},
	}
	for _, c := range cases {
		v, ok := parseVersion(c.version)
		if !ok {
			t.Errorf("%q is no version", c.version)
			continue
		}
		for _, h := range holes() {
			if h.cve == c.cve && h.open(v) != c.open {
				t.Errorf("%s in %s: open is %v, want %v", c.cve, c.version, h.open(v), c.open)
			}
		}
	}
}

func TestPackaged(t *testing.T) {
	for version, want := range map[string]bool{
		"20.10.24+dfsg1": true, "1.1.5+ds1": true, "1.6.20~ds1": true, "1.1.12-0ubuntu2~22.04.1": true,
		"28.2.2-0ubuntu1~24.04.1": true, "1.1.5+ds1-1+deb12u1": true, "1.1.12-3.fc39": true, "1.2.5-1.el9": true,
		"20.10.24": false, "v1.1.12-0-g51d5e946": false, "5d6db84": false, "1.4.0-rc.3": false, "2.0.0-beta.14": false, "": false,
		"7c4457e00facac03ce1d75f7b6777a7a851e5c41": false,
	} {
		if isPackaged(version) != want {
			t.Errorf("%s: packaged is %v, want %v", version, !want, want)
		}
	}
}
