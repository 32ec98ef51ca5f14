//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"claude-bottle/test/escape/attacks"
)

// act is something that the program does beside attacking.
type act func(ctx context.Context, args []string, in io.Reader, out io.Writer) error

// acts are those of the tests' side, and of the program's own processes.
func acts() map[string]act {
	return map[string]act{
		"one":         oneAttack,
		"neighbour":   neighbour,
		"wait":        wait,
		"plant":       plant,
		"race":        race,
		"speak":       simple(attacks.Speak),
		"shout":       shout,
		"hog":         hog,
		"bomb":        simple(attacks.Bomb),
		"orphan":      simple(attacks.Orphan),
		"fill":        simple(func(context.Context) error { attacks.Fill(); return nil }),
		"descriptors": simple(func(context.Context) error { return attacks.Descriptors() }),
		"pulse":       pulse,
		"take":        takeCounters,
		"share":       shareCounters,
		"ways":        ways,
		"burn":        burn,
		"version":     simple(func(context.Context) error { return nil }),
	}
}

func simple(do func(context.Context) error) act {
	return func(ctx context.Context, _ []string, _ io.Reader, _ io.Writer) error { return do(ctx) }
}

var errUsage = errors.New("what is missing: see the package's documentation")

func oneAttack(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	if len(args) != 1 {
		return errUsage
	}
	return attacks.One(ctx, args[0], in, out)
}

func hog(ctx context.Context, args []string, _ io.Reader, out io.Writer) error {
	if len(args) != 1 {
		return errUsage
	}
	taken, err := attacks.Take(ctx, args[0])
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(taken)
}

// takeCounters takes all of what is its user's, says how much that was, and
// keeps it until its input ends. Its arguments are "watches", or nothing.
func takeCounters(_ context.Context, args []string, in io.Reader, out io.Writer) error {
	if err := json.NewEncoder(out).Encode(attacks.TakeCounters(len(args) > 0)); err != nil {
		return err
	}
	<-untilEnd(in)
	return nil
}

// shareCounters takes a little of the same, and says what failed.
func shareCounters(_ context.Context, _ []string, _ io.Reader, out io.Writer) error {
	return json.NewEncoder(out).Encode(attacks.TryCounters())
}

// pulse asks for the host that is its argument until its input ends, and then
// says how that was.
func pulse(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	if len(args) != 1 {
		return errUsage
	}
	fmt.Fprintln(out, "beating")
	found, err := attacks.Beat(ctx, args[0], untilEnd(in))
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(found)
}

// shout writes to both of its streams what terminals act on.
func shout(_ context.Context, _ []string, _ io.Reader, out io.Writer) error {
	return errors.Join(attacks.Shout(os.Stderr, "half"), attacks.Shout(out, "the end"))
}

// ways asks for a host and port by each way; the last argument is what it says.
func ways(ctx context.Context, args []string, _ io.Reader, out io.Writer) error {
	if len(args) != 3 {
		return errUsage
	}
	port, err := strconv.ParseUint(args[1], 10, 16)
	if err != nil {
		return err
	}
	found, err := attacks.Ways(ctx, args[0], uint16(port), args[2])
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(found)
}

func burn(ctx context.Context, _ []string, _ io.Reader, out io.Writer) error {
	burnt, err := attacks.Burn(ctx)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(burnt)
}

// untilEnd is closed when the input has ended.
func untilEnd(in io.Reader) <-chan struct{} {
	end := make(chan struct{})
	go func() {
		defer close(end)
		_, _ = io.Copy(io.Discard, in)
	}()
	return end
}
