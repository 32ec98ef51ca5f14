//go:build linux

package native

import (
	"fmt"

	"claude-bottle/internal/hint"
)

// Settings of the kernel that keep ordinary users from making user namespaces:
// the kernel's own and Debian's; Ubuntu's (24.04 and later) is below.
const (
	maxUserNamespaces = "/proc/sys/user/max_user_namespaces"
	unprivilegedClone = "/proc/sys/kernel/unprivileged_userns_clone"
)

// apparmorRestricted is a variable for test/vm alone, which links another path:
// Debian's kernel restricts by profiles as Ubuntu's does, and has no such setting.
var apparmorRestricted = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"

// namespacesAllowed says why no user namespace can be made here, or nil.
func (p *Platform) namespacesAllowed() error {
	for _, setting := range []struct{ path, off, mend string }{
		{maxUserNamespaces, "0", "sudo sysctl user.max_user_namespaces=15000"},
		{unprivilegedClone, "0", "sudo sysctl kernel.unprivileged_userns_clone=1"},
	} {
		value, err := readSetting(setting.path)
		if err == nil && value == setting.off {
			return hint.With(fmt.Errorf("user namespaces are switched off: %s is %s", setting.path, value), setting.mend+", or use --platform docker")
		}
	}
	return p.apparmorAllows()
}
