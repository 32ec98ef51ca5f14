//go:build linux

package keychain

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"claude-bottle/test/keyring"
)

// session makes env that of this test's process: the keychain's client reads
// it itself.
func session(t *testing.T, env []string) System {
	t.Helper()
	for _, variable := range env {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	return System{Getenv: os.Getenv}
}

// TestSystem: what is kept, another program finds, and the other way round.
func TestSystem(t *testing.T) {
	s := session(t, keyring.Start(t))
	if _, err := s.Get(t.Context(), "a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
	for _, value := range []string{"first", secret} {
		if err := s.Set(t.Context(), "a", value); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := s.Get(t.Context(), "a"); err != nil || got != secret {
		t.Errorf("%q, %v", got, err)
	}
	out, err := exec.CommandContext(t.Context(), "secret-tool", "lookup", "service", Service, "username", "a").Output()
	if err != nil || string(out) != secret {
		t.Errorf("%q, %v", out, err)
	}
	store := exec.CommandContext(t.Context(), "secret-tool", "store", "--label=x", "service", Service, "username", "b")
	store.Stdin = strings.NewReader("by hand")
	if out, err := store.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got, err := s.Get(t.Context(), "b"); err != nil || got != "by hand" {
		t.Errorf("%q, %v", got, err)
	}
	if err := s.Delete(t.Context(), "a"); err != nil {
		t.Error(err)
	}
	if err := s.Delete(t.Context(), "a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
	logins(t, s)
}

// logins are in the keychain, or in the file where that is asked for, and only
// in one of both. No file but the latter holds them.
func logins(t *testing.T, s System) {
	t.Helper()
	l := Logins{Dir: filepath.Join(t.TempDir(), "claude-bottle"), System: s}
	if _, found, err := l.Kept(); found || err != nil {
		t.Errorf("%v, %v", found, err)
	}
	steps := []struct {
		name   string
		inFile bool
		want   Place
	}{{"TOKEN", false, InKeychain}, {"KEY", false, InKeychain}, {"KEY", true, InFile}, {"TOKEN", false, InKeychain}}
	for _, step := range steps {
		if _, err := l.Keep(t.Context(), step.name, secret, step.inFile); err != nil {
			t.Fatal(err)
		}
		login, found, err := l.Kept()
		if err != nil || !found || login != (Login{step.name, step.want}) {
			t.Fatalf("%+v, %v, %v", login, found, err)
		}
		if got, err := l.Read(t.Context(), login); err != nil || got != secret {
			t.Errorf("%q, %v", got, err)
		}
		text, _ := os.ReadFile(l.FilePath())
		note, _ := os.ReadFile(l.notePath())
		if strings.Contains(string(note), secret) || strings.Contains(string(text), secret) != step.inFile {
			t.Errorf("%+v: %s %s", step, note, text)
		}
		if _, err := s.Get(t.Context(), step.name); errors.Is(err, ErrNotFound) != step.inFile {
			t.Errorf("%+v: %v", step, err)
		}
	}
	if _, err := s.Get(t.Context(), "KEY"); !errors.Is(err, ErrNotFound) {
		t.Errorf("what was kept before is still there: %v", err)
	}
	if login, found, err := l.Forget(t.Context()); err != nil || !found || login.Name != "TOKEN" {
		t.Errorf("%+v, %v, %v", login, found, err)
	}
	if _, err := s.Get(t.Context(), "TOKEN"); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
	if _, found, err := l.Forget(t.Context()); found || err != nil {
		t.Errorf("%v, %v", found, err)
	}
}

// TestNoSystem: without a bus, or with one that nobody keeps secrets on, the
// file is taken; nothing is started.
func TestNoSystem(t *testing.T) {
	for name, env := range map[string][]string{
		"no bus":     {"DBUS_SESSION_BUS_ADDRESS=", "XDG_RUNTIME_DIR=" + t.TempDir()},
		"autolaunch": {"DBUS_SESSION_BUS_ADDRESS=autolaunch:", "XDG_RUNTIME_DIR=" + t.TempDir()},
	} {
		t.Run(name, func(t *testing.T) {
			s := session(t, append(env, "PATH="))
			if _, err := s.Get(t.Context(), "a"); !errors.Is(err, ErrNone) {
				t.Errorf("%v", err)
			}
			l := Logins{Dir: filepath.Join(t.TempDir(), "claude-bottle"), System: s}
			if login, err := l.Keep(t.Context(), "TOKEN", secret, false); err != nil || login.Place != InFile {
				t.Errorf("%+v, %v", login, err)
			}
			if info, err := os.Stat(l.FilePath()); err != nil || info.Mode() != 0o600 {
				t.Errorf("%v, %v", info, err)
			}
		})
	}
}

// TestSystemIsGivenUpOn when nobody unlocks it.
func TestSystemIsGivenUpOn(t *testing.T) {
	s := session(t, []string{"DBUS_SESSION_BUS_ADDRESS=unix:path=/none"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	asked, end := make(chan struct{}), make(chan struct{})
	defer close(end)
	go func() {
		defer close(asked)
		if _, err := s.ask(ctx, func() (string, error) { <-end; return "", nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	}()
	<-asked
}
