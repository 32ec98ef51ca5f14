//go:build linux

package cli_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"claude-bottle/internal/attack"
	"claude-bottle/internal/bottle"
	"claude-bottle/internal/bottle/bottletest"
	"claude-bottle/internal/cli"
	"claude-bottle/internal/environ"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/probe"
	"claude-bottle/internal/wire"
)

// platforms are the fake one, and it with one thing wrong each.
func platforms() map[string]cli.NewPlatform {
	fake := func(c cli.PlatformConfig) *bottletest.Fake { return bottletest.NewFake(c.Store, os.LookupEnv) }
	return map[string]cli.NewPlatform{
		"fake":   func(c cli.PlatformConfig) bottle.Platform { return fake(c) },
		"broken": func(c cli.PlatformConfig) bottle.Platform { return broken{fake(c)} },
		"slow":   func(c cli.PlatformConfig) bottle.Platform { return slow{fake(c)} },
		"stuck":  func(c cli.PlatformConfig) bottle.Platform { return stuck{fake(c)} },
		"leaky":  func(c cli.PlatformConfig) bottle.Platform { return leaky{fake(c)} },
		"lossy":  func(c cli.PlatformConfig) bottle.Platform { return lossy{fake(c)} },
		"closed": func(c cli.PlatformConfig) bottle.Platform {
			return reporting{fake(c), `[{"tried":"become root","happened":"not permitted","stoppedBy":"rights","ok":true},
				{"tried":"write in its workspace","happened":"written","must":true,"ok":true}]`}
		},
		"open": func(c cli.PlatformConfig) bottle.Platform {
			return reporting{fake(c), `[{"tried":"become root","happened":"it is \u001b[31mroot"},
				{"tried":"write in its workspace","happened":"read-only","stoppedBy":"nothing should","must":true}]`}
		},
		"signing-in": func(c cli.PlatformConfig) bottle.Platform { return signingIn{fake(c)} },
		"showing":    func(c cli.PlatformConfig) bottle.Platform { return showing{fake(c)} },
		"mute":       func(c cli.PlatformConfig) bottle.Platform { return reporting{fake(c), ""} },
		"unproven":   func(c cli.PlatformConfig) bottle.Platform { return unproven{fake(c)} },
		"defective":  func(c cli.PlatformConfig) bottle.Platform { return defective{fake(c)} },
	}
}

// signingIn has a program in place of the harness's login.
type signingIn struct{ *bottletest.Fake }

func (s signingIn) Prepare(ctx context.Context, spec bottle.Spec) (bottle.Plan, error) {
	plan, err := s.Fake.Prepare(ctx, spec)
	if slices.Equal(plan.Spec.Argv, []string{"claude", "setup-token"}) {
		plan.Spec.Argv = []string{"sh", "-c", `printf 'Open https://login.example/authorize?code=true\n\nPaste the code: '
read -r code
printf '\033[32mYour token:\033[0m\n\n  \033[1msk-ant-oat01-%b\033[22m\n\nKeep it.\n' "$code"
test -z "$CLAUDE_CODE_OAUTH_TOKEN$CLAUDE_BOTTLE_API_KEY"`}
	}
	return plan, err
}

// showing shows the secrets that a gateway would hold.
type showing struct{ *bottletest.Fake }

func (s showing) Prepare(ctx context.Context, spec bottle.Spec) (bottle.Plan, error) {
	for i := range spec.Env {
		spec.Env[i].Use = nil
	}
	plan, err := s.Fake.Prepare(ctx, spec)
	plan.Spec.Argv = []string{"sh", "-c", `echo "token $CLAUDE_CODE_OAUTH_TOKEN key $KEY same $SAME"`}
	return plan, err
}

// broken fails to launch.
type broken struct{ *bottletest.Fake }

func (broken) Launch(context.Context, bottle.Plan, environ.Secrets) (bottle.Bottle, error) {
	return nil, errors.New("start container claude-bottle-x: no such image: corp/agent:7")
}

// slow launches until it is told to stop.
type slow struct{ *bottletest.Fake }

func (slow) Launch(ctx context.Context, _ bottle.Plan, _ environ.Secrets) (bottle.Bottle, error) {
	fmt.Fprintln(os.Stderr, "slow: launching")
	<-ctx.Done()
	fmt.Fprintln(os.Stderr, "slow: undone")
	return nil, fmt.Errorf("create the network: %w", ctx.Err())
}

// stuck never gets a bottle closed.
type stuck struct{ *bottletest.Fake }

type stuckBottle struct{ bottle.Bottle }

func (s stuck) Launch(ctx context.Context, plan bottle.Plan, secrets environ.Secrets) (bottle.Bottle, error) {
	b, err := s.Fake.Launch(ctx, plan, secrets)
	return stuckBottle{b}, err
}

func (stuckBottle) Close() error {
	fmt.Fprintln(os.Stderr, "stuck: closing")
	select {}
}

// leaky closes its bottles, and says that it could not.
type leaky struct{ *bottletest.Fake }

type leakyBottle struct{ bottle.Bottle }

func (l leaky) Launch(ctx context.Context, plan bottle.Plan, secrets environ.Secrets) (bottle.Bottle, error) {
	b, err := l.Fake.Launch(ctx, plan, secrets)
	return leakyBottle{b}, err
}

func (b leakyBottle) Close() error {
	return errors.Join(b.Bottle.Close(), errors.New("remove network claude-bottle-dev: it is in use"))
}

// lossy loses the gateway at once.
type lossy struct{ *bottletest.Fake }

type lossyBottle struct{ bottle.Bottle }

func (l lossy) Launch(ctx context.Context, plan bottle.Plan, secrets environ.Secrets) (bottle.Bottle, error) {
	b, err := l.Fake.Launch(ctx, plan, secrets)
	return lossyBottle{b}, err
}

func (lossyBottle) Lost() <-chan struct{} {
	lost := make(chan struct{})
	close(lost)
	return lost
}

func (lossyBottle) Err() error {
	return errors.New("the bottle's gateway ended: it exited with code 1")
}

// defective has a defect.
type defective struct{ *bottletest.Fake }

func (defective) Prepare(context.Context, bottle.Spec) (bottle.Plan, error) {
	panic(errors.New("index out of range"))
}

// unproven launches nothing that is closed.
type unproven struct{ *bottletest.Fake }

func (unproven) Launch(context.Context, bottle.Plan, environ.Secrets) (bottle.Bottle, error) {
	return nil, hint.With(&probe.Failure{Findings: []wire.Finding{
		{Kind: probe.Device, Target: "/dev/sda", Failed: true, Detail: "it can be opened"},
	}}, "see the engine's configuration")
}

// reporting is one whose bottles attack themselves and report what they are
// told to.
type reporting struct {
	*bottletest.Fake
	report string
}

type reportingBottle struct {
	bottle.Bottle
	report string
}

func (r reporting) Launch(ctx context.Context, plan bottle.Plan, secrets environ.Secrets) (bottle.Bottle, error) {
	b, err := r.Fake.Launch(ctx, plan, secrets)
	return reportingBottle{b, r.report}, err
}

func (b reportingBottle) Exec(_ context.Context, start wire.Start, streams wire.Streams) (wire.Exit, error) {
	if !slices.Equal(start.Argv, []string{bottle.Program, "guest", "attack"}) {
		return wire.Exit{Code: 127, Message: "not what was to be run"}, nil
	}
	var aim attack.Targets
	if err := json.NewDecoder(streams.Stdin).Decode(&aim); err != nil || aim.Refused == "" || len(aim.Files) == 0 {
		return wire.Exit{Code: 1, Message: "it does not say what to attack"}, nil
	}
	_, err := streams.Stdout.Write([]byte(b.report))
	return wire.Exit{}, err
}
