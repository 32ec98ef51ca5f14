//go:build linux

package supervise

import (
	"fmt"
	"path/filepath"

	"github.com/landlock-lsm/go-landlock/landlock"
	landlocksys "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// What a gateway reads of the host: how names are resolved, which authorities
// are trusted, and what the kernel says of itself.
var (
	gatewayFiles = []string{"/etc/hosts", "/etc/nsswitch.conf", "/etc/services", "/etc/localtime", "/dev/null"}
	gatewayDirs  = []string{
		"/etc/ssl/certs", "/etc/pki/tls", "/etc/pki/ca-trust/extracted", "/etc/ca-certificates", "/usr/share/ca-certificates",
		"/usr/local/share/ca-certificates", "/usr/share/zoneinfo",
	}
	gatewayProc = []string{"/proc/self", "/proc/sys/net", "/proc/sys/kernel"}
)

// pin opens directories of /proc for as long as the process lives. A rule is
// bound to what the kernel has of a directory, and of /proc it drops that when
// memory is short and makes it anew, without the rule: this process could then
// not read its own status.
func pin(dirs []string) {
	for _, dir := range dirs {
		_, _ = unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0) // one that is not there has no rule either
	}
}

// confineTo leaves this process its record and what it needs to reach the
// world, where the kernel has Landlock (5.13): whoever takes it over finds none
// of the person's files, though they are its own user's (TestGatewayIsConfined).
// Sockets that are open stay. Signals are not restricted, since the one by which
// the bottle ends with this process would be.
func confineTo(record string) error {
	resolver, err := filepath.EvalSymlinks("/etc/resolv.conf")
	if err != nil {
		resolver = "/etc/resolv.conf"
	}
	pin(gatewayProc)
	err = landlock.V5.BestEffort().RestrictPaths(
		landlock.RWDirs(record),
		landlock.ROFiles(gatewayFiles...).IgnoreIfMissing(),
		landlock.RODirs(gatewayDirs...).IgnoreIfMissing(),
		landlock.RODirs(gatewayProc...).IgnoreIfMissing(),
		landlock.ROFiles("/etc/resolv.conf").IgnoreIfMissing(),
		resolverRule(filepath.Dir(resolver)),
	)
	if err != nil {
		return fmt.Errorf("confine the gateway: %w", err)
	}
	return nil
}

// resolverRule lets a resolv.conf be read that is replaced as a whole, as
// systemd and NetworkManager do below /run. One in /etc is read as it was.
func resolverRule(dir string) landlock.FSRule {
	if dir == "/etc" {
		return landlock.ROFiles("/etc/resolv.conf").IgnoreIfMissing()
	}
	return landlock.RODirs(dir).IgnoreIfMissing()
}

// HasLandlock says whether the kernel has it, and it is switched on.
func HasLandlock() bool {
	version, err := landlocksys.LandlockGetABIVersion()
	return err == nil && version > 0
}
