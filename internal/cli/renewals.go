package cli

import (
	"context"
	"errors"
	"sync"
	"time"

	"claude-bottle/internal/broker"
	"claude-bottle/internal/environ"
	"claude-bottle/internal/keychain"
	"claude-bottle/internal/wire"
)

// turnWait is how long a run waits for another's renewal. The keychain may take
// wire.KeepTime: nobody may be there to unlock it.
const turnWait = 90 * time.Second

// renewals keep the login of a run, which its gateway renews, where it was kept
// before. The keychain is read before each, so that nothing is renewed that
// cannot be kept.
type renewals struct {
	*App
	logins keychain.Logins

	mu      sync.Mutex // guards what follows, of this run's turn
	release func()     // ends it
	busy    bool       // it has the turn, or keeps what came of it
	had     bool       // a login was kept that can be renewed
}

// loginTurn waits until nothing else of this person changes the login.
func loginTurn(ctx context.Context, logins keychain.Logins) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, turnWait)
	defer cancel()
	return logins.Turn(ctx)
}

func (a *App) keeper(stateRoot string) environ.Keeper {
	r := &renewals{App: a, logins: a.logins(stateRoot)}
	a.renewing = r.underway
	if r.logins.CutOff() {
		a.note("warning: a launcher was killed while the login was renewed, which may be worth nothing now: if the agent is refused, log in again (claude-bottle login)")
	}
	return environ.Keeper{Turn: r.turn, Renewed: r.renewed}
}

// turn waits for the run's turn, and reads what is kept. After `logout` nothing
// is: the run goes on with what it has.
func (r *renewals) turn(ctx context.Context, _ string) (string, error) {
	release, err := loginTurn(ctx, r.logins)
	if err != nil {
		return "", err
	}
	login, err := r.kept(ctx)
	if err != nil {
		release()
		return "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.release, r.busy, r.had = release, true, login != ""
	if r.had {
		r.logins.Begin()
	}
	return login, nil
}

// underway says whether the run has the turn.
func (r *renewals) underway() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.busy
}

// kept is the login that is kept, if that is one which can be renewed.
func (r *renewals) kept(ctx context.Context) (string, error) {
	kept, found, err := r.logins.Kept()
	if err != nil || !found {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, wire.KeepTime)
	defer cancel()
	text, err := r.logins.Read(ctx, kept)
	if _, whole := broker.ParseLogin(text); !whole {
		text = ""
	}
	return text, err
}

// renewed ends the run's turn, and keeps what was renewed in it.
func (r *renewals) renewed(_, login string) {
	r.mu.Lock()
	release, had := r.release, r.had
	r.release = nil
	r.mu.Unlock()
	if release == nil {
		return
	}
	defer func() {
		r.logins.End()
		release()
		r.mu.Lock()
		defer r.mu.Unlock()
		r.busy = false
	}()
	if login == "" || !had { // of another kind, or none: a person did that meanwhile
		return
	}
	if err := r.keep(login); err != nil {
		r.note("warning: the renewed login is not kept, so that you will have to log in again: %v", err)
	}
}

func (r *renewals) keep(login string) error {
	if _, whole := broker.ParseLogin(login); !whole {
		return errors.New("it is no login")
	}
	kept, found, err := r.logins.Kept()
	if err != nil || !found {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), wire.KeepTime)
	defer cancel()
	_, err = r.logins.Keep(ctx, kept.Name, login, kept.Place == keychain.InFile)
	return err
}
