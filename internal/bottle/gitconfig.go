package bottle

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
)

// gitConfigLimit is how much of a project's git configuration is looked at,
// in bytes.
const gitConfigLimit = 1 << 20

// gitCredential is a password in a remote's URL (git-config(1), remote.*.url),
// or a header that carries one (http.*.extraHeader), as some CI systems leave
// them in a clone.
var gitCredential = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)://[^/\s"@]*:[^/\s"@]+@|^\s*extraheader\s*=|\n\s*extraheader\s*=`)
})

// gitConfigHoldsCredential says whether the git configuration that --cwd would
// copy into the bottle holds one. What is no plain file is not copied as one
// either.
func gitConfigHoldsCredential(cwd string) bool {
	f, err := os.OpenFile(filepath.Join(cwd, ".git", "config"), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return false
	}
	text, err := io.ReadAll(io.LimitReader(f, gitConfigLimit))
	return err == nil && gitCredential().Match(text)
}
