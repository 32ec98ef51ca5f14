package doctor

import (
	"fmt"
	"slices"
	"strings"
)

// Kernel is what was seen of this machine's kernel. Files that are not there
// leave their field empty.
type Kernel struct {
	Release string // of Linux; empty on another system
	// Landlock is the version of its interface; 0 for none.
	Landlock int
	// Seccomp are the actions that filters may take.
	Seccomp []string
	// Namespaces is user.max_user_namespaces, Clone Debian's
	// kernel.unprivileged_userns_clone, AppArmor Ubuntu's
	// kernel.apparmor_restrict_unprivileged_userns.
	Namespaces, Clone, AppArmor string
	// Networked is the engine's runtime whose bottles keep a network; empty when
	// none do.
	Networked string
	// SourcesAll and SourcesNew are net.ipv4.conf.all.rp_filter and
	// net.ipv4.conf.default.rp_filter.
	SourcesAll, SourcesNew string
	// EngineRelease is the kernel that the engine runs on; empty for no engine.
	EngineRelease string
}

// JudgeKernel is about what the kernel offers to confine with. An engine in a
// virtual machine has a kernel of its own, of which it says little.
func JudgeKernel(k Kernel) []Check {
	if k.Release == "" {
		return []Check{{Name: "kernel", State: OK, Detail: "not Linux: bottles have the kernel of the engine's virtual machine"}}
	}
	if k.EngineRelease != "" && k.EngineRelease != k.Release {
		return []Check{{
			Name: "kernel", State: OK,
			Detail: fmt.Sprintf("bottles have the engine's, %s, and not this machine's %s; each launch tries what it confines", k.EngineRelease, k.Release),
		}}
	}
	return []Check{judgeFilters(k), judgeLandlock(k), judgeNamespaces(k), judgeSources(k)}
}

// judgeFilters is about seccomp(2), by which the guest closes system calls.
func judgeFilters(k Kernel) Check {
	check := Check{Name: "seccomp", State: OK, Detail: "filters can refuse and kill"}
	if !slices.Contains(k.Seccomp, "errno") {
		check.State = Fail
		check.Detail = "the kernel takes no filters, and no bottle runs without one"
		check.Notes = []string{"boot a kernel built with CONFIG_SECCOMP_FILTER, as those of distributions are"}
	}
	return check
}

func judgeLandlock(k Kernel) Check {
	if k.Landlock > 0 {
		return Check{Name: "landlock", State: OK, Detail: fmt.Sprintf("version %d of its interface", k.Landlock)}
	}
	return Check{
		Name: "landlock", State: Warn, Detail: "none: docker needs it not; what runs on the host itself is confined less",
		Notes: []string{"Linux 5.13 or later has it: " + onCommandLine + "lsm=landlock,… before the others that are there"},
		Mend:  editCommandLine,
	}
}

// judgeNamespaces is about what a platform without a daemon needs.
func judgeNamespaces(k Kernel) Check {
	check := Check{Name: "namespaces", State: Warn}
	const need = "; docker needs them not, native bottles do"
	switch {
	case k.Namespaces == "" || k.Namespaces == "0":
		check.Detail, check.Mend = "user namespaces are off"+need, "sudo sysctl user.max_user_namespaces=15000"
	case k.Clone == "0":
		check.Detail, check.Mend = "only root may make user namespaces"+need, "sudo sysctl kernel.unprivileged_userns_clone=1"
	case k.AppArmor == "1":
		check.Detail = "AppArmor lets only named programs use user namespaces" + need
		check.Notes = []string{"claude-bottle can be one of them: see native"}
	default:
		check.State, check.Detail = OK, "unprivileged user namespaces are allowed, up to "+strings.TrimSpace(k.Namespaces)
	}
	return check
}

// judgeSources is about datagrams to everybody (255.255.255.255, 224.0.0.1).
// They need no address of the host's on a bottle's network, and the host takes
// them when it does not check where a packet comes from (ip-sysctl, rp_filter;
// the larger of the two values counts).
func judgeSources(k Kernel) Check {
	if k.Networked == "" {
		return Check{Name: "sources", State: OK, Detail: "bottles have no network to send to everybody on"}
	}
	if checked := []string{"1", "2"}; slices.Contains(checked, k.SourcesAll) || slices.Contains(checked, k.SourcesNew) {
		return Check{Name: "sources", State: OK, Detail: "datagrams to everybody end at a bottle's own network"}
	}
	return Check{
		Name: "sources", State: Warn,
		Detail: "datagrams that a bottle on " + k.Networked + " sends to everybody reach this machine's services that listen on all addresses (UDP, one way)",
		Notes:  []string{"it holds for bottles that are started from then on"},
		Mend:   "sudo sysctl net.ipv4.conf.default.rp_filter=2",
	}
}
