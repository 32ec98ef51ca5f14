package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"claude-bottle/internal/policy"
	"claude-bottle/internal/wire"
)

const (
	// hostedPatience is how long a hosted program may take to be ready.
	hostedPatience = 20 * time.Second
	// hostedPause is between two questions whether it is.
	hostedPause = 10 * time.Millisecond
	// hostedGrace is how long one that is told to end may take.
	hostedGrace = 2 * time.Second
	// hostedLog bounds what it can make the host write, in bytes.
	hostedLog = 64 << 20
	// hostedTail is how much of its last words is in an error, in bytes.
	hostedTail = 1 << 10
)

// Host is the parent of another program that is the gateway of a bottle. It
// carries nothing: it answers the bottle's questions for names, and refuses
// all, keeps the canaries of the trial, looks at the program as [Serve] looks
// at itself, and ends with it, or it with the boot stream of an attached one.
// The program inherits the filter that all that runs in a bottle has on.
func Host(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	if err := harden(); err != nil {
		return fmt.Errorf("harden gateway: %w", err)
	}
	conn := wire.NewConn(stdio{stdin, stdout})
	err := confineHost()
	if err == nil {
		err = host(ctx, conn, stderr)
	}
	if err != nil {
		_ = conn.WriteError(err)
	}
	return err
}

func host(ctx context.Context, conn *wire.Conn, stderr io.Writer) error {
	boot, err := readBoot(conn)
	if err != nil {
		return err
	}
	if boot.Hosted == nil || len(boot.Hosted.Argv) == 0 {
		return errors.New("the boot frame names no program")
	}
	s, err := newServer(policy.Egress{}, boot.Run, boot.Record, nil, outside{})
	if err != nil {
		return err
	}
	s.hosted = boot.Hosted.Name
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := s.try(ctx, boot); err != nil {
		return errors.Join(err, s.close())
	}
	defer s.trial.end()
	program, err := startHosted(ctx, *boot.Hosted, stderr)
	if err != nil {
		return errors.Join(err, s.close())
	}
	defer program.end(cancel)
	s.trial.process = strconv.Itoa(program.cmd.Process.Pid)
	go func() { // ends with stdin, or with the process
		err := s.control(ctx, conn, newTurns(conn.WriteJSON)) // it renews nothing
		if boot.Attached || errors.Is(err, wire.ErrProtocol) {
			cancel()
		}
	}()
	if err := program.ready(ctx, "http://"+hostPort(boot.Address, boot.Ports.Proxy)+boot.Hosted.Health); err != nil {
		return errors.Join(err, s.close())
	}
	ls, err := listenNames(ctx, boot.Address, boot.Ports.DNS)
	if err != nil {
		ls.close()
		return errors.Join(fmt.Errorf("listen: %w", err), s.close())
	}
	if err := conn.WriteJSON(wire.KindReady, wire.GatewayReady{Canaries: s.trial.canaries}); err != nil {
		ls.close()
		return errors.Join(err, s.close())
	}
	return s.beside(ctx, ls, program)
}

// beside serves until ctx or the program ends.
func (s *server) beside(ctx context.Context, ls listeners, program *hosted) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() { // ends with ctx, or with the program
		select {
		case <-ctx.Done():
		case <-program.ended:
			cancel(fmt.Errorf("%s ended: %w", program.name, program.reason()))
		}
	}()
	err := s.serve(ctx, ls)
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// hosted is such a program.
type hosted struct {
	name  string
	cmd   *exec.Cmd
	said  *boundedLog
	ended chan struct{} // closed once err is set
	err   error
}

// startHosted starts it. All that it says goes to its log and to stderr, whose
// end the launcher keeps for errors. It ends with ctx.
func startHosted(ctx context.Context, what wire.Hosted, stderr io.Writer) (*hosted, error) {
	file, err := os.OpenFile(what.Log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", what.Name, err)
	}
	h := &hosted{name: what.Name, ended: make(chan struct{})}
	h.cmd = exec.CommandContext(ctx, what.Argv[0], what.Argv[1:]...)
	h.said = &boundedLog{to: file, left: hostedLog}
	said := io.MultiWriter(h.said, stderr)
	h.cmd.Stdout, h.cmd.Stderr = said, said
	h.cmd.Cancel = func() error { return h.cmd.Process.Signal(os.Interrupt) }
	h.cmd.WaitDelay = hostedGrace
	if err := h.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", what.Name, err), file.Close())
	}
	go func() { // ends with the program
		defer close(h.ended)
		h.err = errors.Join(h.cmd.Wait(), file.Close())
	}()
	return h, nil
}

// end ends the program and waits for it.
func (h *hosted) end(cancel context.CancelFunc) {
	cancel()
	<-h.ended
}

// reason is why it ended, and what it said last.
func (h *hosted) reason() error {
	err := h.err
	if err == nil {
		err = errors.New("exit status 0")
	}
	if last := strings.TrimSpace(string(h.said.tail)); last != "" {
		err = fmt.Errorf("%w: %s", err, last)
	}
	return err
}

// ready waits until the program says by url that it is.
func (h *hosted) ready(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, hostedPatience)
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true}
	client := http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	pause := time.NewTicker(hostedPause)
	defer pause.Stop()
	for {
		last := healthy(ctx, &client, url)
		if last == nil {
			return nil
		}
		select {
		case <-h.ended:
			return fmt.Errorf("%s ended before it was ready: %w", h.name, h.reason())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w", h.name, last)
		case <-pause.C:
		}
	}
}

func healthy(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s says %s", url, response.Status)
	}
	return nil
}

// boundedLog keeps the first bytes of what is written in a file, the last in
// tail, and takes the rest. It is read when nobody writes any more.
type boundedLog struct {
	to   io.Writer
	left int
	tail []byte
}

func (l *boundedLog) Write(p []byte) (int, error) {
	l.tail = append(l.tail, p...)
	l.tail = l.tail[max(0, len(l.tail)-hostedTail):]
	n, err := l.to.Write(p[:min(len(p), l.left)])
	l.left -= n
	if err != nil { // the disk is full: what it says is no record of decisions
		l.left = 0
	}
	return len(p), nil
}
