package cli

import (
	"context"
	"os/exec"
	"strings"
	"sync"
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
	ask := func(key string, answer *string) func() {
		return func() {
			cmd := exec.CommandContext(ctx, "git", "config", "--global", "--get", key)
			cmd.Dir = home
			if out, err := cmd.Output(); err == nil {
				*answer = strings.TrimSpace(string(out))
			}
		}
	}
	var both sync.WaitGroup
	both.Go(ask("user.name", &name))
	both.Go(ask("user.email", &mail))
	both.Wait()
	return name, mail
}
