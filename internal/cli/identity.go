package cli

import (
	"context"
	"os/exec"
	"strings"
	"time"

	"claude-bottle/internal/failpoint"
)

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
