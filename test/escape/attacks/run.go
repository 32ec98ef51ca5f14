//go:build linux

package attacks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// How long one attack may take, and how many go on at once.
const (
	patience = 20 * time.Second
	longest  = 4 * time.Minute
	atOnce   = 8
)

// Run makes the attacks, each in a process of its own: some end the process
// that makes them, others would change it. Within has each made as root of user
// and mount namespaces of its own, which a bottle that says nested allows.
func Run(ctx context.Context, list []Attack, t Targets, within bool) ([]Result, error) {
	input, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	results := make([]Result, len(list))
	turns := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for i, a := range list {
		turns <- struct{}{}
		all.Go(func() {
			defer func() { <-turns }()
			began := time.Now()
			results[i] = runOne(ctx, program, a, input, within)
			results[i].Milliseconds = time.Since(began).Milliseconds()
		})
	}
	all.Wait()
	return results, nil
}

func runOne(ctx context.Context, program string, a Attack, input []byte, within bool) Result {
	limit := patience
	if a.Full {
		limit = longest
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, program, "one", a.ID)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &out, &errs
	cmd.WaitDelay = time.Second
	// Who is traced stands still at each signal: Go's runtime sends itself none.
	cmd.Env = append(os.Environ(), "GODEBUG=asyncpreemptoff=1")
	if within {
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		}
	}
	err := cmd.Run()
	r := Result{ID: a.ID}
	if err == nil && json.Unmarshal(out.Bytes(), &r) == nil && r.ID == a.ID {
		return r
	}
	// Who is killed for an attempt did not get through; who dies otherwise did
	// not try.
	if exit, is := errors.AsType[*exec.ExitError](err); is {
		if status, is := exit.Sys().(syscall.WaitStatus); is && status.Signaled() && status.Signal() == syscall.SIGSYS {
			return Result{ID: a.ID, Outcome: Stopped, Happened: "killed for the attempt (SIGSYS)"}
		}
	}
	return Result{ID: a.ID, Happened: fmt.Sprintf("the attempt ended badly: %v %v: %.400q", err, ctx.Err(), errs.String())}
}

// One makes one attack in this process: Targets are read from in, the result is
// written to out.
func One(ctx context.Context, id string, in io.Reader, out io.Writer) error {
	a, ok := Find(id)
	if !ok {
		return fmt.Errorf("no attack %q", id)
	}
	var t Targets
	if err := json.NewDecoder(in).Decode(&t); err != nil {
		return fmt.Errorf("read what to attack: %w", err)
	}
	r := a.try(ctx, t)
	return json.NewEncoder(out).Encode(Result{ID: a.ID, Outcome: r.outcome, Happened: r.happened})
}
