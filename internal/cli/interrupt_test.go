package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSignalsByStage plays signals with the time between them.
func TestSignalsByStage(t *testing.T) {
	const (
		soon  = 10 * time.Millisecond // the same one over again
		later = time.Second
	)
	type sent struct {
		after  time.Duration
		signal syscall.Signal
	}
	for name, test := range map[string]struct {
		stage   stage
		signals []sent
		ended   syscall.Signal // that ended the run; 0 for none
		inside  int            // how many the harness got
		exited  int            // code; 0 for none
		said    string
	}{
		"a launch is undone":      {launching, []sent{{later, syscall.SIGINT}}, syscall.SIGINT, 0, 0, ""},
		"not left for one twice":  {launching, []sent{{later, syscall.SIGINT}, {soon, syscall.SIGINT}}, syscall.SIGINT, 0, 0, ""},
		"left at the second":      {launching, []sent{{later, syscall.SIGINT}, {later, syscall.SIGINT}}, syscall.SIGINT, 0, 130, "left at once"},
		"the first is inside's":   {working, []sent{{later, syscall.SIGINT}}, 0, 1, 0, ""},
		"once, if it comes twice": {working, []sent{{later, syscall.SIGINT}, {soon, syscall.SIGINT}}, 0, 1, 0, ""},
		"the second ends the run": {working, []sent{{later, syscall.SIGINT}, {later, syscall.SIGINT}}, syscall.SIGINT, 1, 0, ""},
		"the third leaves":        {working, []sent{{later, syscall.SIGINT}, {later, syscall.SIGINT}, {later, syscall.SIGINT}}, syscall.SIGINT, 1, 130, "left at once"},
		"TERM ends the run":       {working, []sent{{later, syscall.SIGTERM}}, syscall.SIGTERM, 0, 0, ""},
		"a hangup ends the run":   {working, []sent{{later, syscall.SIGHUP}}, syscall.SIGHUP, 0, 0, ""},
		"closing goes on":         {closing, []sent{{later, syscall.SIGINT}}, 0, 0, 0, "once more to leave at once"},
		"closing goes on, twice":  {closing, []sent{{later, syscall.SIGINT}, {soon, syscall.SIGINT}}, 0, 0, 0, "once more to leave at once"},
		"a question is ended":     {asking, []sent{{later, syscall.SIGINT}}, syscall.SIGINT, 0, 0, ""},
		"a server ends":           {serving, []sent{{later, syscall.SIGTERM}}, syscall.SIGTERM, 0, 0, ""},
		"a server is left":        {serving, []sent{{later, syscall.SIGINT}, {later, syscall.SIGINT}}, syscall.SIGINT, 0, 130, "left at once\n"},
		"a visitor's first":       {visiting, []sent{{later, syscall.SIGINT}}, 0, 1, 0, ""},
		"a visitor leaves":        {visiting, []sent{{later, syscall.SIGINT}, {later, syscall.SIGINT}}, syscall.SIGINT, 1, 0, ""},
		"a visitor is ended":      {visiting, []sent{{later, syscall.SIGTERM}}, syscall.SIGTERM, 0, 0, ""},
		"a visitor is gone":       {visiting, []sent{{later, syscall.SIGTERM}, {later, syscall.SIGINT}}, syscall.SIGTERM, 0, 130, "left at once\n"},
		"closing is left":         {closing, []sent{{later, syscall.SIGINT}, {later, syscall.SIGTERM}}, 0, 0, 143, "left at once"},
	} {
		t.Run(name, func(t *testing.T) {
			now, exited, said := time.Now(), 0, &bytes.Buffer{}
			app := &App{Streams: Streams{Err: said}, Env: Env{
				Now:  func() time.Time { return now },
				Exit: func(code int) { exited = code },
			}}
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			s := &signals{app: app, cancel: cancel, Harness: make(chan os.Signal, 9)}
			s.enter(ctx, test.stage)
			for _, sent := range test.signals {
				now = now.Add(sent.after)
				s.handle(sent.signal)
			}
			var by interruption
			errors.As(context.Cause(ctx), &by)
			if want := test.ended; want == 0 && by.signal != nil || want != 0 && by.signal != want {
				t.Errorf("ended by %v, want %v", by.signal, want)
			}
			if got := len(s.Harness); got != test.inside {
				t.Errorf("%d signals went inside, want %d", got, test.inside)
			}
			if exited != test.exited {
				t.Errorf("left with %d, want %d", exited, test.exited)
			}
			if !strings.Contains(said.String(), test.said) || test.said == "" && said.Len() > 0 {
				t.Errorf("said %q, want %q", said, test.said)
			}
		})
	}
}
