//go:build linux

package guest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"

	"claude-bottle/internal/probe"
	"claude-bottle/internal/wire"
)

// ProbeArgs are the arguments by which the guest starts its own program to
// probe the bottle: a child, since it must be what the agent will be.
func ProbeArgs() []string { return []string{"guest", "probe"} }

// maxProbed bounds what the child reports, in bytes.
const maxProbed = wire.MaxControl

// prober is the child that tries what a process inside may do. It starts as
// soon as it would be what the agent will be, before the boot frame is read.
type prober struct {
	in    *os.File
	out   *bufio.Reader
	file  *os.File // below out
	asked bool     // only the boot stream's conversation uses it
}

// errLate begins what ends a bottle whose door opened after the probe.
const errLate = "isolation: a door that was silent is open: "

func startProber(r *reaper) (*prober, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the guest's program: %w", err)
	}
	theirIn, ourIn, err := openPipe(true)
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	defer closeAll(theirIn)
	ourOut, theirOut, err := openPipe(false)
	if err != nil {
		closeAll(ourIn)
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	defer closeAll(theirOut)
	// By this link, since the agent need not be able to search the directories
	// that lead to the file.
	_, err = r.start("/proc/self/exe", append([]string{path}, ProbeArgs()...), &syscall.ProcAttr{
		Env: []string{}, Files: []uintptr{theirIn.Fd(), theirOut.Fd(), os.Stderr.Fd()}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		closeAll(ourIn, ourOut)
		return nil, fmt.Errorf("start the probe: %w", err)
	}
	return &prober{in: ourIn, out: bufio.NewReaderSize(ourOut, 32<<10), file: ourOut}, nil
}

// probe has the child probe, once, for the boot stream alone.
func (v *conversation) probe(f wire.Frame) error {
	p := v.guest.prober
	if !v.boot || p == nil || p.asked {
		return fmt.Errorf("%w: unexpected %v frame", wire.ErrProtocol, f.Kind)
	}
	p.asked = true
	f.Payload = slices.Clone(f.Payload) // the next frame takes its place
	go func() {                         // ends when nothing can come late any more
		probed, late, err := v.guest.ask(p, f)
		<-v.guest.ready // it may have been asked before it was
		if err == nil {
			err = v.conn.WriteJSON(wire.KindProbed, probed)
			v.guest.threads() // while the launcher, which is who waits now, is at work
		}
		if err == nil {
			if finding, open := <-late; open {
				err = errors.New(errLate + probe.Describe(finding))
			}
		}
		if err != nil {
			v.guest.broken <- err
		}
	}()
	return nil
}

// stop ends a child that was not asked.
func (p *prober) stop() {
	closeAll(p.in, p.file)
}

// ask tries the network itself, since the agent, whose uid the child has, must
// not end what listens for late answers (TestLateDoorEndsTheBottle); it has
// the child try the rest, and adds where programs are found. late is closed
// when nothing can come any more.
func (g *guest) ask(p *prober, f wire.Frame) (probed wire.Probed, late <-chan wire.Finding, err error) {
	if err := p.hand(f.Payload); err != nil { // both read it at the same time
		return wire.Probed{}, nil, err
	}
	var request wire.Probe
	if err := f.Decode(&request); err != nil {
		return wire.Probed{}, nil, err
	}
	var trying error // written before Bottle returns
	probed, late = probe.Bottle(context.Background(), request, func() (tried []wire.Finding) {
		tried, trying = p.tried()
		return append(tried, g.findProgram(request)...)
	})
	return probed, late, trying
}

// hand hands the child its task.
func (p *prober) hand(request []byte) error {
	_, err := p.in.Write(request)
	closeAll(p.in)
	if err != nil {
		return fmt.Errorf("hand the probe its task: %w", err)
	}
	return nil
}

// tried is what came of it.
func (p *prober) tried() ([]wire.Finding, error) {
	defer closeAll(p.file)
	var probed wire.Probed
	if err := p.next(&probed); err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	return probed.Findings, nil
}

// next reads one line of the child's.
func (p *prober) next(v any) error {
	var line []byte
	for {
		part, err := p.out.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return json.Unmarshal(line, v)
		case len(line) > maxProbed:
			return errors.New("it says too much")
		case !errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("it ended: %w", err)
		}
	}
}

// findProgram looks for the harness as an Exec would.
func (g *guest) findProgram(request wire.Probe) []wire.Finding {
	if request.Program == "" {
		return nil
	}
	finding := wire.Finding{Kind: probe.Program, Target: request.Program, Detail: "found"}
	_, err := resolve(wire.Start{Argv: wire.Strings{request.Program}, Dir: request.Dir}, g.env)
	if err != nil {
		finding.Failed, finding.Detail = true, err.Error()
		var refused refusal
		if errors.As(err, &refused) {
			finding.Code = refused.code
		}
	}
	return []wire.Finding{finding}
}
