// Command try shows a bottle that attacks itself, then starts the demo agent of
// examples/ in one: against the real service when there is a token, else
// against a stand-in that answers by rule. `make try` runs it, with an engine, or
// where none answers with native bottles.
// or where none answers with native bottles.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/moby/moby/client"
	"golang.org/x/term"

	"claude-bottle/internal/manifest"
	"claude-bottle/test/engine"
	"claude-bottle/test/standin"
)

// once is what the agent is told when nobody sits at a terminal.
const once = "write /home/node/workspace/hello.txt Hello from inside a bottle."

func main() {
	binary := flag.String("binary", "bin/claude-bottle", "the `program` to start the agent with")
	examples := flag.String("examples", "examples", "the `directory` of the examples")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	// Ctrl-C is claude-bottle's, which is in the same foreground group.
	signal.Ignore(os.Interrupt)
	code, err := try(ctx, *binary, *examples)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
	}
	os.Exit(code)
}

func try(ctx context.Context, binary, examples string) (code int, err error) {
	binary, err = filepath.Abs(binary)
	if err != nil {
		return 1, err
	}
	if code, err := attack(ctx, binary); code != 0 || err != nil {
		return code, err
	}
	project := filepath.Join(examples, "demo")
	if !hasToken() {
		local, end, err := prepareLocal(ctx, examples)
		if err != nil {
			return 1, fmt.Errorf("without CLAUDE_BOTTLE_OAUTH_TOKEN or ANTHROPIC_API_KEY: %w", err)
		}
		defer end()
		project = local
	}
	return start(ctx, binary, project, examples)
}

// native says that the bottles are.
func native() bool { return os.Getenv("CLAUDE_BOTTLE_PLATFORM") == "native" }

// attack shows first that a bottle holds: `claude-bottle try`. What stands open
// ends it all.
func attack(ctx context.Context, binary string) (int, error) {
	fmt.Fprint(os.Stderr, "\nFirst a bottle that attacks itself, then one with Claude Code in it.\n\n")
	return run(exec.CommandContext(ctx, binary, "try"))
}

func hasToken() bool {
	return os.Getenv("CLAUDE_BOTTLE_OAUTH_TOKEN") != "" || os.Getenv("ANTHROPIC_API_KEY") != ""
}

// prepareLocal starts the stand-in and makes a copy of the project whose
// manifest leads to it.
func prepareLocal(ctx context.Context, examples string) (project string, end func(), err error) {
	fmt.Fprint(os.Stderr, `
No CLAUDE_BOTTLE_OAUTH_TOKEN and no ANTHROPIC_API_KEY: Claude Code is real, the
model is not. A stand-in on this machine answers what you type, by rule:

    write PATH TEXT…   asks Claude Code to write that file
    run COMMAND…       asks Claude Code to run that command
    anything else      is repeated

`)
	server, err := startStandin(ctx)
	if err != nil {
		return "", nil, err
	}
	project, err = os.MkdirTemp("", "claude-bottle-try-")
	end = func() {
		_ = server.Close()
		_ = os.RemoveAll(project)
	}
	if err == nil {
		err = copyProject(filepath.Join(examples, "demo"), project)
	}
	if err == nil {
		err = writeManifest(server, filepath.Join(examples, "local", "claude-bottle.yaml"), project)
	}
	if err != nil {
		end()
		return "", nil, err
	}
	return project, end, nil
}

// startStandin serves where the gateway will look for it.
func startStandin(ctx context.Context) (*standin.Server, error) {
	if native() {
		return standin.StartAt(ctx, standin.Loopback(), nil)
	}
	host, err := engine.Find(ctx)
	if err != nil {
		return nil, err
	}
	api, err := client.New(client.WithHost(host))
	if err != nil {
		return nil, err
	}
	defer api.Close()
	return standin.Start(ctx, api, nil)
}

// copyProject copies the project's files but its manifest.
func copyProject(from, to string) error {
	for _, name := range []string{"README.md", "leap.py"} {
		data, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func writeManifest(server *standin.Server, template, project string) error {
	text, err := os.ReadFile(template)
	if err != nil {
		return err
	}
	return server.Manifest(project, string(text))
}

// start hands over to claude-bottle, which shows its plan and asks. Where nobody
// can answer, and on native, where a try should take no more than a look, the
// project's manifest is trusted by its hash and one prompt is run.
func start(ctx context.Context, binary, project, examples string) (int, error) {
	args := []string{"start", "demo", "--cwd"}
	terminal := term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd()))
	if terminal && native() {
		defer fmt.Fprintf(os.Stderr, "\nTo work with it, with a token: cd %s && %s start demo --cwd\n", filepath.Join(examples, "demo"), binary)
	}
	if !terminal || native() {
		hash, err := projectHash(project)
		if err != nil {
			return 1, err
		}
		args = append(args, "--yes", "--trust", hash, "--prompt", once)
	}
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir = project
	return run(cmd)
}

// run gives a command our streams, and returns its code.
func run(cmd *exec.Cmd) (int, error) {
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 1, err
	}
	return 0, nil
}

func projectHash(project string) (string, error) {
	project, err := filepath.Abs(project)
	if err != nil {
		return "", err
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	m, err := manifest.Load(project, home)
	if err != nil {
		return "", err
	}
	return m.Project().Hash, nil
}
