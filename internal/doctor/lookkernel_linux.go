package doctor

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// LookAtKernel reads what the kernel says of itself.
func LookAtKernel() Kernel {
	var name unix.Utsname
	k := Kernel{
		Landlock: landlockVersion(), Seccomp: strings.Fields(setting("kernel/seccomp/actions_avail")),
		Namespaces: setting("user/max_user_namespaces"), Clone: setting("kernel/unprivileged_userns_clone"),
		AppArmor:   setting("kernel/apparmor_restrict_unprivileged_userns"),
		SourcesAll: setting("net/ipv4/conf/all/rp_filter"), SourcesNew: setting("net/ipv4/conf/default/rp_filter"),
	}
	if unix.Uname(&name) == nil {
		k.Release = unix.ByteSliceToString(name.Release[:])
	}
	return k
}

// setting reads one below /proc/sys; empty when there is none.
func setting(name string) string {
	data, err := os.ReadFile("/proc/sys/" + name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// landlockVersion asks for it (landlock_create_ruleset(2)); nothing is made.
func landlockVersion() int {
	n, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(n)
}
