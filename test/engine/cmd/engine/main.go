// Command engine runs another command with a Docker engine: one that answers
// already, else one that it installs and starts, and stops again afterwards.
//
//	engine [--gvisor] [--tools] [--or-native] [--] COMMAND…
//
// With --or-native no engine is started where none answers: the command runs
// with native bottles, for which bubblewrap is installed where it is missing.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/sync/errgroup"

	"claude-bottle/test/engine"
)

func main() {
	gvisor := flag.Bool("gvisor", false, "give the engine gVisor's runtime")
	tools := flag.Bool("tools", false, "install the other programs that tests run")
	orNative := flag.Bool("or-native", false, "where no engine answers, start none: run the command with native bottles")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: engine [--gvisor] [--tools] [--or-native] [--] COMMAND…")
		os.Exit(2)
	}
	options := engine.Options{Log: os.Stderr, Gvisor: *gvisor, Base: true}
	code, err := start(options, *tools, *orNative, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
	}
	os.Exit(code)
}

// start returns the command's exit code. An interrupt is the command's; an
// engine that was started is stopped when it has ended, also when the terminal
// went away.
func start(options engine.Options, tools, orNative bool, argv []string) (int, error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if !orNative {
		return withEngine(ctx, options, tools, argv)
	}
	if _, err := engine.Find(ctx); err == nil {
		return withEngine(ctx, options, tools, argv)
	}
	fmt.Fprintln(os.Stderr, "No Docker engine answers: taking native bottles, which need none.")
	if err := engine.Bubblewrap(ctx, os.Stderr); err != nil {
		return 1, err
	}
	return run(ctx, argv, "CLAUDE_BOTTLE_PLATFORM=native")
}

func withEngine(ctx context.Context, options engine.Options, tools bool, argv []string) (code int, err error) {
	e, err := engine.Up(ctx, options)
	if err != nil {
		return 1, err
	}
	defer func() {
		if down := e.Down(); down != nil {
			code, err = 1, errors.Join(err, down)
		}
	}()
	parts := e.Parts()
	making, made := errgroup.WithContext(ctx)
	making.Go(func() error { return e.Base(made) })
	if tools {
		making.Go(func() error { return engine.Tools(made, os.Stderr) })
		parts = append(parts, engine.PartTools)
	}
	if err := making.Wait(); err != nil {
		return 1, err
	}
	return run(ctx, argv, "DOCKER_HOST="+e.Host, engine.Parts+"="+strings.Join(parts, ","))
}

// run gives a command our streams and more of an environment.
func run(ctx context.Context, argv []string, env ...string) (int, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), env...)
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 1, err
	}
	return 0, nil
}
