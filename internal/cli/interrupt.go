package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/term"
)

// stage is where a run is; it decides what a signal means.
type stage int

const (
	// launching: nothing of the harness runs. A signal undoes the launch.
	launching stage = iota
	// working: the harness runs. The first SIGINT is the harness's; a second
	// one, and every other signal, ends the run.
	working
	// closing: what was made is being removed. A signal is answered with what
	// it would cost, the next one ends the process.
	closing
	// asking: all is removed, and a person is asked about what comes next. A
	// signal ends the question.
	asking
	// serving: nothing was made that would have to be removed. A signal ends it
	// when what is under way is through, the next one at once.
	serving
	// visiting: a command runs in a bottle that another process launched. Signals
	// are as while working, but nothing is to be removed.
	visiting
)

// interruption is what ended a context because of a signal.
type interruption struct{ signal os.Signal }

func (i interruption) Error() string {
	if signal, ok := i.signal.(syscall.Signal); ok {
		return "interrupted by " + unix.SignalName(signal)
	}
	return "interrupted by " + i.signal.String()
}

// code is what shells make of a process that a signal ended: 130 for SIGINT,
// 143 for SIGTERM, 129 for SIGHUP.
func (i interruption) code() int {
	if signal, ok := i.signal.(syscall.Signal); ok {
		return 128 + int(signal)
	}
	return exitInterrupted
}

// signals gives the signals of one run their meaning, stage by stage. On a
// terminal in raw mode Ctrl-C is a byte for the harness and arrives here never.
type signals struct {
	app    *App
	cancel context.CancelCauseFunc
	// Harness are the signals for the harness.
	Harness chan os.Signal

	mu    sync.Mutex // guards what follows
	stage stage
	seen  bool // a signal of this stage or, once one ended the run, of any
	last  time.Time
}

// echo is how soon after another a signal is the same one over again: what
// runs a command in a process group of its own (timeout, make, npm) passes on
// to it what the group has got already. No person is that fast.
const echo = 200 * time.Millisecond

// catch starts to catch signals. The context it returns ends at the first one
// that ends the run; release gives them back their usual effect.
func (a *App) catch(ctx context.Context) (_ context.Context, s *signals, release func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	s = &signals{app: a, cancel: cancel, Harness: make(chan os.Signal, 1)}
	caught, stop := a.Signals()
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case signal := <-caught:
				s.handle(signal)
			case <-done:
				return
			}
		}
	}()
	return ctx, s, func() {
		stop()
		close(done)
		<-ended
		cancel(nil)
	}
}

// enter begins the next stage. A signal that ended the run still counts as
// the first one of closing.
func (s *signals) enter(ctx context.Context, next stage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stage = next
	s.seen = ctx.Err() != nil
}

func (s *signals) handle(signal os.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.app.Now()
	repeated := now.Sub(s.last) < echo
	s.last = now
	if repeated {
		return
	}
	first := !s.seen
	s.seen = true
	switch {
	case s.stage == serving && first:
		s.cancel(interruption{signal})
	case s.stage == serving:
		s.app.note("claude-bottle: left at once")
		s.app.Exit(interruption{signal}.code())
	case s.stage == visiting && (!first || signal != os.Interrupt):
		s.stage = serving
		s.cancel(interruption{signal})
	case (s.stage == working || s.stage == visiting) && first && signal == os.Interrupt:
		s.Harness <- signal // empty: only the first one of the stage comes here
	case s.stage == working, (s.stage == launching || s.stage == asking) && first:
		// From here on the run is being taken down, whoever notices first.
		s.stage = closing
		s.cancel(interruption{signal})
	case first:
		s.app.note("claude-bottle: removing the bottle; once more to leave at once")
	default:
		if mode := s.app.raw.Load(); mode != nil {
			_ = mode.Restore() // nobody else will
		}
		s.app.note("claude-bottle: left at once: the next command, or claude-bottle cleanup, removes what is left")
		s.app.Exit(interruption{signal}.code())
	}
}

// interrupted is err, unless a signal is behind it: then it says that, with
// the code that shells expect. A nil err stays nil.
func interrupted(ctx context.Context, err error) error {
	var by interruption
	if errors.Is(err, term.ErrInterrupted) { // Ctrl-C where it makes no signal
		by = interruption{os.Interrupt}
		return codeError{by.code(), by}
	}
	if err == nil || !errors.As(context.Cause(ctx), &by) {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, by) {
		return codeError{by.code(), by} // what else failed, failed because of it
	}
	return codeError{by.code(), fmt.Errorf("%w: %w", by, err)}
}
