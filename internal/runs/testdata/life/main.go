// Command life takes a run through its life below the state directory named
// by its argument, and says what a platform would have made by then: a line
// "made NAME" or "removed NAME", and "run ID" first. With a second argument
// "hold" it starts a child, says "holding PID", and waits for its standard
// input to end.
package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"

	"claude-bottle/internal/runs"
)

func main() {
	if err := life(os.Args[1], len(os.Args) > 2); err != nil {
		fmt.Println("error", err)
		os.Exit(3)
	}
}

func life(root string, hold bool) error {
	store, err := runs.Open(root)
	if err != nil {
		return err
	}
	run, err := store.Create(runs.Info{Name: "claude-bottle-demo", Agent: "demo"})
	if err != nil {
		return err
	}
	fmt.Println("run", run.ID())
	if hold {
		return wait()
	}
	for _, name := range []string{"network", "container"} {
		if err := run.Record(runs.Resource{Kind: "thing", Name: name}); err != nil {
			return err
		}
		fmt.Println("made", name)
	}
	if err := run.Update(func(info *runs.Info) { info.State = runs.Running }); err != nil {
		return err
	}
	fmt.Println("removed container")
	if err := run.Forget(runs.Resource{Kind: "thing", Name: "container"}); err != nil {
		return err
	}
	fmt.Println("removed network")
	return run.Discard()
}

func wait() error {
	child := exec.Command("cat")
	child.Stdin = os.Stdin
	if err := child.Start(); err != nil {
		return err
	}
	fmt.Println("holding", child.Process.Pid)
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}
