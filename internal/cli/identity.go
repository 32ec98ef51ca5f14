package cli

import (
	"context"
	"os/exec"
	"strings"
	"sync"
	"time"

	"claude-bottle/internal/failpoint"
)

// gitIdentity begins to ask for the person's identity; the answer is there when
// it is called for.
func (a *App) gitIdentity(ctx context.Context) (answer func() (name, mail string)) {
	home, err := a.home()
	if err != nil {
		return func() (name, mail string) { return "", "" }
	}
	if name, mail, ok := a.plainIdentity(home); ok {
		return func() (string, string) { return name, mail }
	}
	asked := make(chan [2]string, 1)
	go func() { // ends when git does, which has a deadline
		name, mail := gitIdentity(ctx, home)
		asked <- [2]string{name, mail}
	}()
	return sync.OnceValues(func() (name, mail string) {
		got := <-asked
		return got[0], got[1]
	})
}

// gitIdentity is the person's name and mail, for commits inside. Only their
// own configuration is asked, never that of the project, which others wrote.
// Without git, or without an identity, both are empty.
func gitIdentity(ctx context.Context, home string) (name, mail string) {
	defer failpoint.Span("cli.git-identity")()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "git", "config", "--global", "--null", "--get-regexp", `^user\.(name|email)$`)
	cmd.Dir = home
	out, err := cmd.Output()
	if err != nil {
		return "", ""
	}
	// Each entry is the key, a line's end and the value; of several the last
	// counts.
	for entry := range strings.SplitSeq(string(out), "\x00") {
		switch key, value, _ := strings.Cut(entry, "\n"); key {
		case "user.name":
			name = strings.TrimSpace(value)
		case "user.email":
			mail = strings.TrimSpace(value)
		}
	}
	return name, mail
}
