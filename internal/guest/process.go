//go:build linux

package guest

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/wire"
)

// farewell is how long a process may take to end once its launcher is gone.
const farewell = 2 * time.Second

// process is one that runs for a conversation.
type process struct {
	child    *child
	terminal *os.File // nil without one
	stdin    *input
	outputs  map[wire.Kind]*output
}

// ends are the two ends of a process's standard streams.
type ends struct {
	theirs   [3]*os.File // as 0, 1 and 2
	stdin    *os.File    // ours from here on
	stdout   *os.File
	stderr   *os.File // nil with a terminal
	terminal bool
}

// startProcess runs cmd with streams on conn. The error is a refusal.
func startProcess(r *reaper, conn *wire.Conn, cmd command, start wire.Start) (*process, error) {
	e, err := openEnds(start)
	if err != nil {
		return nil, refusal{codeNotExecutable, fmt.Errorf("run %s: %w", cmd.argv[0], err)}
	}
	attr := &syscall.ProcAttr{Dir: cmd.dir, Env: cmd.env, Sys: &syscall.SysProcAttr{Setsid: true}}
	if e.terminal {
		attr.Sys.Setctty = true // of descriptor 0
	}
	for _, file := range e.theirs {
		attr.Files = append(attr.Files, file.Fd())
	}
	child, err := r.start(cmd.path, cmd.argv, attr)
	e.closeTheirs()
	if err != nil {
		e.closeOurs()
		return nil, refused(cmd.argv[0], err)
	}
	p := &process{
		child:   child,
		stdin:   newInput(conn, e.stdin, e.terminal),
		outputs: map[wire.Kind]*output{wire.KindStdout: newOutput(conn, wire.KindStdout, e.stdout, e.terminal)},
	}
	if e.terminal {
		p.terminal = e.stdout
	} else {
		p.outputs[wire.KindStderr] = newOutput(conn, wire.KindStderr, e.stderr, false)
	}
	go p.stdin.run()
	for _, o := range p.outputs {
		go o.run()
	}
	return p, nil
}

// wait returns how the process ended, once all that it printed is sent.
func (p *process) wait() wire.Exit {
	<-p.child.done
	p.stdin.stop()
	for _, o := range p.outputs {
		o.finish()
	}
	return wire.Exit{Code: p.child.code()}
}

// signal sends as a person at the process's terminal would: what a key sends
// goes to the job in the foreground, everything else to the group of the
// process itself, so that TERM to a shell reaches what it waits for.
func (p *process) signal(signal syscall.Signal) {
	group := 0
	if p.terminal != nil {
		switch signal { //nolint:exhaustive // the others have no key
		case unix.SIGINT, unix.SIGQUIT, unix.SIGTSTP:
			_ = control(p.terminal, func(fd int) (err error) {
				group, err = unix.IoctlGetInt(fd, unix.TIOCGPGRP)
				return err
			})
		}
	}
	p.child.signal(group, signal)
}

func (p *process) resize(size wire.Size) {
	if p.terminal != nil {
		_ = setSize(p.terminal, size)
	}
}

// hangUp ends a process whose launcher is gone: as when a terminal's line
// drops, and for good after the farewell. What it had put in other sessions
// stays, as after ssh.
func (p *process) hangUp() {
	p.child.signal(0, unix.SIGHUP)
	p.child.signal(0, unix.SIGCONT) // a stopped one could not hear it
	if p.terminal != nil {
		_ = p.terminal.Close() // the foreground job's SIGHUP
	}
	timer := time.NewTimer(farewell)
	defer timer.Stop()
	select {
	case <-p.child.done:
	case <-timer.C:
		p.child.killSession()
		<-p.child.done
	}
}

func openEnds(start wire.Start) (*ends, error) {
	if start.Terminal {
		return openTerminal(start.Size)
	}
	e := &ends{}
	pipes := []struct {
		ours   **os.File
		theirs **os.File
		input  bool
	}{
		{&e.stdin, &e.theirs[0], true},
		{&e.stdout, &e.theirs[1], false},
		{&e.stderr, &e.theirs[2], false},
	}
	for _, p := range pipes {
		read, write, err := openPipe(p.input)
		if err != nil {
			e.closeTheirs()
			e.closeOurs()
			return nil, fmt.Errorf("make a pipe: %w", err)
		}
		*p.ours, *p.theirs = read, write
		if p.input {
			*p.ours, *p.theirs = write, read
		}
	}
	return e, nil
}

// openPipe makes a pipe whose end on our side is the runtime poller's, and
// whose other end blocks, as every program expects of its streams.
func openPipe(weWrite bool) (read, write *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, err
	}
	ours := fds[0]
	if weWrite {
		ours = fds[1]
	}
	if err := unix.SetNonblock(ours, true); err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "pipe"), os.NewFile(uintptr(fds[1]), "pipe"), nil
}

func (e *ends) closeTheirs() { closeAll(e.theirs[:]...) }

func (e *ends) closeOurs() { closeAll(e.stdin, e.stdout, e.stderr) }

// closeAll closes files of which some may be nil, or the same.
func closeAll(files ...*os.File) {
	for _, file := range files {
		if file != nil {
			_ = file.Close()
		}
	}
}
