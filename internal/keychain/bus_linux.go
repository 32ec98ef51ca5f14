package keychain

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/godbus/dbus/v5"
)

// reachable says whether the session has a message bus. One that has none must
// not be asked for: a client starts one then, and it would stay.
func reachable(getenv func(string) string) error {
	address := getenv("DBUS_SESSION_BUS_ADDRESS")
	switch {
	case strings.HasPrefix(address, "autolaunch:"), address == "":
	default:
		return nil
	}
	if dir := getenv("XDG_RUNTIME_DIR"); dir != "" {
		if info, err := os.Stat(filepath.Join(dir, "bus")); err == nil && info.Mode().Type() == os.ModeSocket && address == "" {
			return nil
		}
	}
	return fmt.Errorf("%w: it has no message bus", ErrNone)
}

// Names of errors on a message bus that say that nobody keeps secrets on it.
var nobody = []string{
	"org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NameHasNoOwner",
	"org.freedesktop.DBus.Error.Spawn.ServiceNotFound",
}

// explain says of an error of the bus what it means.
func explain(err error) error {
	var said dbus.Error
	var pointed *dbus.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &said):
	case errors.As(err, &pointed):
		said = *pointed
	default:
		return err
	}
	for _, name := range nobody {
		if said.Name == name {
			return fmt.Errorf("%w: nobody on its message bus keeps secrets", ErrNone)
		}
	}
	return err
}
