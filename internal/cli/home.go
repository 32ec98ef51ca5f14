package cli

import (
	"errors"
	"os/user"
	"strconv"

	"claude-bottle/internal/hint"
)

// home is the person's home directory: $HOME, else what the system says of
// the uid.
func (a *App) home() (string, error) {
	if home := a.Getenv("HOME"); home != "" {
		return home, nil
	}
	if u, err := user.LookupId(strconv.Itoa(a.UID)); err == nil && u.HomeDir != "" {
		return u.HomeDir, nil
	}
	return "", hint.With(errors.New("find your home directory: HOME is not set"), "set HOME")
}
