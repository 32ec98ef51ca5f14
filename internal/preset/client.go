package preset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"claude-bottle/internal/hint"
)

// maxSaid bounds, in bytes, what a client says.
const maxSaid = 1 << 20

// neutral is the working directory of a client that is asked: nobody's
// project, and only root writes there.
const neutral = "/"

// ask runs a client with arguments, away from every project, with HOME, PATH,
// what own names of the environment, and what extra sets.
func (c Clients) ask(ctx context.Context, program string, args, own, extra []string) ([]byte, error) {
	path, err := c.program(program)
	if err != nil {
		return nil, err
	}
	search, _ := c.Lookup("PATH")
	env := []string{"HOME=" + c.Home, "PATH=" + search}
	for _, name := range own {
		if value, ok := c.Lookup(name); ok {
			env = append(env, name+"="+value)
		}
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir, cmd.Env = neutral, append(env, extra...)
	cmd.WaitDelay = time.Second // a child of the client's may hold the pipe
	out := &bounded{left: maxSaid}
	cmd.Stdout = out
	err = cmd.Run()
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s did not say in time what it is configured for: %w", program, ctx.Err())
	case out.left < 0:
		return nil, fmt.Errorf("%s said more than %d KiB of its configuration", program, maxSaid>>10)
	case err != nil:
		return nil, fmt.Errorf("ask %s for its configuration: %w", program, err)
	}
	return out.kept.Bytes(), nil
}

// program finds a client in PATH. Entries that are relative would look in the
// project.
func (c Clients) program(name string) (string, error) {
	search, _ := c.Lookup("PATH")
	for _, dir := range filepath.SplitList(search) {
		if !filepath.IsAbs(dir) {
			continue
		}
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", hint.With(fmt.Errorf("no %s on this machine, whose configuration says the hosts", name),
		"install it, or list the hosts in egress.rules in place of the preset")
}

// bounded keeps what is written to it until it is too much; left is then
// negative. The buffer is not embedded, since its ReadFrom knows no bound.
type bounded struct {
	kept bytes.Buffer
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, errors.New("too much")
	}
	return b.kept.Write(p)
}

// system is a path below /etc.
func (c Clients) system(elements ...string) string {
	root := c.System
	if root == "" {
		root = "/etc"
	}
	return filepath.Join(root, filepath.Join(elements...))
}

// variable is a variable's value without space around it; not set is empty.
func (c Clients) variable(name string) string {
	value, _ := c.Lookup(name)
	return strings.TrimSpace(value)
}

// directory is what a variable names, and else a directory below home. One
// that is relative would be in the project.
func (c Clients) directory(name string, below ...string) (string, error) {
	value := c.variable(name)
	if value == "" {
		return filepath.Join(append([]string{c.Home}, below...)...), nil
	}
	if !filepath.IsAbs(value) {
		return "", fmt.Errorf("%s is not an absolute path", name)
	}
	return value, nil
}
