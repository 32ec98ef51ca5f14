package platform

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// credentials are files and directories below a home that hold what lets
// somebody act as its owner, or tell what its owner did. They are never seen
// inside, whether or not they exist yet.
var credentials = []string{
	".ssh", ".gnupg", ".pki", ".password-store", ".local/share/keyrings", ".kwallet", ".local/share/kwalletd", ".Xauthority",
	".aws", ".azure", ".config/gcloud", ".config/doctl", ".config/hcloud", ".oci", ".aliyun", ".boto", ".s3cfg", ".config/rclone",
	".kube", ".docker", ".config/containers", ".config/helm", ".minikube", ".terraform.d", ".terraformrc", ".vault-token", ".step",
	".config/gh", ".config/hub", ".config/glab-cli", ".config/git", ".gitconfig", ".git-credentials", ".netrc", ".authinfo", ".authinfo.gpg",
	".npmrc", ".yarnrc", ".yarnrc.yml", ".config/pip", ".pip", ".pypirc", ".config/pypoetry", ".cargo/credentials",
	".cargo/credentials.toml", ".cargo/config.toml", ".gem/credentials", ".bundle/config", ".m2/settings.xml", ".m2/settings-security.xml",
	".gradle/gradle.properties", ".composer/auth.json", ".config/composer", ".nuget", ".subversion",
	".pgpass", ".my.cnf", ".mylogin.cnf", ".config/op", ".config/mise", ".config/claude-bottle",
	".claude", ".claude.json", ".codex", ".gemini", ".config/opencode", ".local/share/opencode", ".config/github-copilot",
	".mozilla", ".thunderbird", ".config/google-chrome", ".config/chromium", ".config/BraveSoftware", ".config/microsoft-edge",
	".bash_history", ".zsh_history", ".python_history", ".node_repl_history", ".psql_history", ".mysql_history", ".local/share/fish",
	"claude-bottle.json", "claude-bottle.yaml", "claude-bottle.yml",
}

// credentialNames are directories that hold credentials wherever they are: of
// another person, or in a copy.
var credentialNames = []string{".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", ".password-store", "keyrings"}

// keyNames are those of them that are nothing else in a tree of sources or
// programs.
var keyNames = []string{".ssh", ".gnupg", ".password-store"}

// systemPlaces are the system's, with all that is in them.
var systemPlaces = []string{
	"/etc", "/proc", "/sys", "/dev", "/run", "/var/run", "/var/lock", "/boot", "/lost+found",
	"/tmp", "/var/tmp", "/var/log", "/var/mail", "/var/spool", "/var/backups", "/var/lib/docker", "/var/lib/containerd",
	"/var/lib/containers", "/var/lib/kubelet", "/var/lib/private", "/var/lib/sss", "/var/lib/mysql", "/var/lib/postgresql",
	"/var/lib/NetworkManager", "/var/lib/systemd", "/var/lib/lxd", "/var/snap", "/snap",
}

// wholePlaces are too much as a whole: what is in them may be named.
var wholePlaces = []string{
	"/", "/home", "/root", "/var", "/var/lib", "/var/cache", "/mnt", "/media", "/srv",
	"/usr", "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec", "/usr/share", "/usr/include",
	"/usr/local", "/usr/local/bin", "/usr/local/sbin", "/usr/local/lib", "/usr/local/etc", "/usr/local/share", "/usr/local/include",
	"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
}

// homes are the homes of this machine, the person's first.
func homes(person string) []string {
	all := []string{person, "/root"}
	entries, err := os.ReadDir("/home")
	if err == nil {
		for _, entry := range entries {
			all = append(all, filepath.Join("/home", entry.Name()))
		}
	}
	all = slices.DeleteFunc(all, func(home string) bool { return !filepath.IsAbs(home) || home == "/" })
	return all
}

// place is what must not be seen inside.
type place struct {
	path string
	why  string
	info fs.FileInfo // nil when it does not exist
	// whole places may not be seen as a whole; what is in them may.
	whole bool
}

// forbidden lists what must not be seen inside on this machine, under each of
// its names.
func forbidden(home, stateRoot string) []place {
	var places []place
	add := func(path, why string, whole bool) {
		if path == "" {
			return
		}
		info, _ := os.Stat(path)
		places = append(places, place{path, why, info, whole})
		if real, err := filepath.EvalSymlinks(path); err == nil && real != path {
			places = append(places, place{real, why, info, whole})
		}
	}
	for _, path := range wholePlaces {
		add(path, "it is or holds "+path+", a whole part of the system", true)
	}
	for _, path := range systemPlaces {
		add(path, "it is, holds, or is a part of the system's "+path, false)
	}
	for _, person := range homes(home) {
		add(person, "it is or holds the home directory "+person, true)
		for _, name := range credentials {
			path := filepath.Join(person, name)
			add(path, "it is, holds, or is a part of the credentials of "+path, false)
		}
	}
	add(stateRoot, "it is, holds, or is a part of the runs of claude-bottle in "+stateRoot, false)
	return places
}

// Vetting knows what of this machine must not be seen inside.
type Vetting struct{ places []place }

// NewVetting looks at the machine once.
func NewVetting(home, stateRoot string) *Vetting { return &Vetting{forbidden(home, stateRoot)} }

// Refuses says why a path must not be seen inside; empty when it may. The
// caller asks for each name that the path has.
func (v *Vetting) Refuses(path string) string { return refuses(v.places, path) }

// refuses says why a path must not be seen inside; empty when it may. What
// holds something that must not be seen must not be seen either.
func refuses(places []place, path string) string {
	for _, name := range strings.Split(path, "/") {
		if slices.Contains(credentialNames, name) {
			return "it is a directory of credentials, " + name
		}
	}
	for _, p := range places {
		if holds(path, p.path, nil) || !p.whole && holds(p.path, path, p.info) {
			return p.why
		}
	}
	return ""
}

// holds says whether path is dir or in it: by its name, and by the directories
// that it is in, as the file system knows them, so that neither a mount nor
// another spelling leads around. info is dir's, when that is known.
func holds(dir, path string, info fs.FileInfo) bool {
	if within(path, dir) {
		return true
	}
	if info == nil {
		return false
	}
	for at := path; ; at = filepath.Dir(at) {
		if other, err := os.Stat(at); err == nil && os.SameFile(info, other) {
			return true
		}
		if at == filepath.Dir(at) {
			return false
		}
	}
}

func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}
