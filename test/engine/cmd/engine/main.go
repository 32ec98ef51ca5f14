// Command engine runs another command with a Docker engine: one that answers
// already, else one that it installs and starts, and stops again afterwards.
//
//	engine [--ask] [--gvisor] [--tools] [--] COMMAND…
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/term"

	"claude-bottle/test/engine"
)

func main() {
	ask := flag.Bool("ask", false, "ask on the terminal, when there is one, before anything is installed or started")
	gvisor := flag.Bool("gvisor", false, "give the engine gVisor's runtime")
	tools := flag.Bool("tools", false, "install the other programs that tests run")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: engine [--ask] [--gvisor] [--tools] [--] COMMAND…")
		os.Exit(2)
	}
	options := engine.Options{Log: os.Stderr, Gvisor: *gvisor}
	if *ask {
		options.Confirm = confirm
	}
	code, err := run(options, *tools, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
	}
	os.Exit(code)
}

// run returns the command's exit code. An interrupt is the command's; the
// engine is stopped when it has ended, also when the terminal went away.
func run(options engine.Options, tools bool, argv []string) (code int, err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	e, err := engine.Up(ctx, options)
	if err != nil {
		return 1, err
	}
	defer func() {
		if down := e.Down(); down != nil {
			code, err = 1, errors.Join(err, down)
		}
	}()
	if err := e.Base(ctx); err != nil {
		return 1, err
	}
	parts := e.Parts()
	if tools {
		if err := engine.Tools(ctx, os.Stderr); err != nil {
			return 1, err
		}
		parts = append(parts, engine.PartTools)
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+e.Host, engine.Parts+"="+strings.Join(parts, ","))
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 1, err
	}
	return 0, nil
}

// confirm says what will happen, and asks when somebody can answer.
func confirm(what string) bool {
	fmt.Fprintf(os.Stderr, "No Docker engine answers. This will %s.\n", what)
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return true
	}
	fmt.Fprint(os.Stderr, "Go on? [y/N] ")
	line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes"
}
