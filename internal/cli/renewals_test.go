package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"claude-bottle/internal/broker"
	"claude-bottle/internal/environ"
	"claude-bottle/internal/keychain"
)

func loginText(t *testing.T, n string) string {
	t.Helper()
	return broker.Login{Value: "access-token-" + n, Refresh: "refresh-token-" + n, Expires: time.Now().Add(time.Hour)}.Text()
}

// keepers are two runs of one person, whose login is in a file.
func keepers(t *testing.T, kept string) (one, two environ.Keeper, logins keychain.Logins, said *bytes.Buffer) {
	t.Helper()
	said = &bytes.Buffer{}
	app := &App{Streams: Streams{Err: said}, Env: Env{Lookup: func(string) (string, bool) { return "", false }}}
	root := t.TempDir()
	logins = app.logins(root)
	if kept != "" {
		if _, err := logins.Keep(t.Context(), "CLAUDE_BOTTLE_OAUTH_TOKEN", kept, true); err != nil {
			t.Fatal(err)
		}
	}
	return app.keeper(root), app.keeper(root), logins, said
}

func stored(t *testing.T, logins keychain.Logins) string {
	t.Helper()
	kept, found, err := logins.Kept()
	if err != nil || !found {
		t.Fatalf("%v, %v", found, err)
	}
	text, err := logins.Read(t.Context(), kept)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestRunsTakeTurns: a run that wants to renew waits for one that does, and
// gets what that one got. Nobody logs in or out meanwhile.
func TestRunsTakeTurns(t *testing.T) {
	first, second := loginText(t, "first"), loginText(t, "second")
	one, two, logins, _ := keepers(t, first)
	if got, err := one.Turn(t.Context(), "TOKEN"); err != nil || got != first {
		t.Fatalf("%q, %v", got, err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 3*time.Second/10)
	defer cancel()
	if _, err := two.Turn(soon, "TOKEN"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second turn: %v", err)
	}
	if _, err := loginTurn(soon, logins); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a login meanwhile: %v", err)
	}
	one.Renewed("TOKEN", second)
	if got, err := two.Turn(t.Context(), "TOKEN"); err != nil || got != second {
		t.Errorf("%q, %v", got, err)
	}
	two.Renewed("TOKEN", "") // nothing came of it
	if got := stored(t, logins); got != second {
		t.Errorf("stored: %s", got)
	}
	one.Renewed("TOKEN", loginText(t, "out-of-turn"))
	if got := stored(t, logins); got != second {
		t.Errorf("stored: %s", got)
	}
}

// TestRenewedIsKeptInItsPlace alone: not where a person has logged out, has
// another kind of credential, or where it is none.
func TestRenewedIsKeptInItsPlace(t *testing.T) {
	const key = "sk-ant-api03-0123456789012345678901234567890123456789"
	for what, before := range map[string]string{"logged out": "", "a key": key, "no login": loginText(t, "first")} {
		one, _, logins, said := keepers(t, before)
		got, err := one.Turn(t.Context(), "TOKEN")
		renewed := loginText(t, "second")
		if what == "no login" {
			renewed = "{}"
		} else if got != "" || err != nil {
			t.Errorf("%s: %q, %v", what, got, err)
		}
		one.Renewed("TOKEN", renewed)
		if before == "" {
			if _, found, err := logins.Kept(); found || err != nil {
				t.Errorf("%s: %v, %v", what, found, err)
			}
		} else if got := stored(t, logins); got != before {
			t.Errorf("%s: stored %s", what, got)
		}
		if warned := strings.Contains(said.String(), "is not kept"); warned != (what == "no login") {
			t.Errorf("%s: %s", what, said)
		}
	}
}

// TestNothingIsRenewedThatCannotBeKept.
func TestNothingIsRenewedThatCannotBeKept(t *testing.T) {
	one, two, logins, _ := keepers(t, loginText(t, "first"))
	if err := os.Chmod(logins.FilePath(), 0o644); err != nil { //nolint:gosec // G302: which is refused
		t.Fatal(err)
	}
	for _, run := range []environ.Keeper{one, two} { // the first holds nothing
		if _, err := run.Turn(t.Context(), "TOKEN"); err == nil || !strings.Contains(err.Error(), "mode 0600") {
			t.Errorf("%v", err)
		}
	}
}

// TestCutOffRenewalIsTold once, to the next run, and not while one is under way.
func TestCutOffRenewalIsTold(t *testing.T) {
	one, _, logins, said := keepers(t, loginText(t, "first"))
	app := &App{Streams: Streams{Err: said}, Env: Env{Lookup: func(string) (string, bool) { return "", false }}}
	next := func() bool {
		said.Reset()
		app.keeper(logins.Dir)
		return strings.Contains(said.String(), "log in again")
	}
	if _, err := one.Turn(t.Context(), "TOKEN"); err != nil {
		t.Fatal(err)
	}
	if next() {
		t.Error("told of one that is under way")
	}
	one.Renewed("TOKEN", loginText(t, "second"))
	if next() {
		t.Error("told of one that ended")
	}
	logins.Begin() // and the launcher was killed
	if first, again := next(), next(); !first || again {
		t.Errorf("told: %v, and again: %v", first, again)
	}
}
