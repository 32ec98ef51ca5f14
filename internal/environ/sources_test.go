package environ

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"claude-bottle/internal/policy"
)

// TestSources: each source is asked once, for as many variables as have it; in
// order, and after all of the environment was found to be there.
func TestSources(t *testing.T) {
	use := func(name string) *policy.Secret { return &policy.Secret{Name: name, Hosts: []string{"a.example"}} }
	entries := []Entry{
		{Name: "A", Kind: Command, Argv: []string{"pass", "show", "x"}, Use: use("A")},
		{Name: "B", Kind: Command, Argv: []string{"pass", "show", "x"}, Use: use("B")},
		{Name: "C", Kind: Command, Argv: []string{"pass", "show x"}},
		{Name: "D", Kind: Keychain, Source: "x"},
		{Name: "E", Kind: Login, Source: "x"},
		{Name: "F", Kind: Host, Source: "F"},
	}
	var asked []string
	from := Sources{
		Lookup: func(name string) (string, bool) { return "of-the-environment", name == "F" },
		Command: func(_ context.Context, argv []string) (string, error) {
			asked = append(asked, strings.Join(argv, "|"))
			return "printed by " + strings.Join(argv, "-"), nil
		},
		Keychain: func(_ context.Context, name string) (string, error) {
			asked = append(asked, "keychain "+name)
			return "kept", nil
		},
		Login: func(_ context.Context, name string) (string, error) {
			asked = append(asked, "login "+name)
			return "logged in", nil
		},
	}
	s, err := Gather(t.Context(), entries, from)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(s.Env(), " "); got != "C=printed by pass-show x D=kept E=logged in F=of-the-environment" {
		t.Errorf("%s", got)
	}
	if got := s.Brokered(); len(got) != 1 || got[0].Value != "printed by pass-show-x" {
		t.Errorf("%d held", len(got))
	}
	if got := strings.Join(asked, ", "); got != "pass|show|x, pass|show x, keychain x, login x" {
		t.Errorf("asked: %s", got)
	}

	asked = nil
	entries[5].Source = "absent"
	if _, err := Gather(t.Context(), entries, from); err == nil || asked != nil {
		t.Errorf("%v, asked %q", err, asked)
	}
	for _, kind := range []Kind{Command, Keychain, Login, "other"} {
		if _, err := Gather(t.Context(), []Entry{{Name: "A", Kind: kind, Argv: []string{"x"}}}, Sources{}); err == nil {
			t.Errorf("%s: read from nowhere", kind)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Gather(ended, entries[:1], from); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// A whole login renews itself, so that no bottle may read it.
func TestWholeLoginIsNotReadable(t *testing.T) {
	const whole = `{"claudeAiOauth": {"accessToken": "a", "refreshToken": "r", "expiresAt": 1}}`
	from := Sources{Login: func(context.Context, string) (string, error) { return whole, nil }}
	_, err := Gather(t.Context(), []Entry{{Name: "A", Kind: Login}}, from)
	if err == nil || !strings.Contains(err.Error(), "which no bottle gets to read") {
		t.Errorf("%v", err)
	}
}

// A shell reads back what Shell wrote.
func TestShell(t *testing.T) {
	argv := []string{"a", "", "two words", "it's", `"$HOME" \ ;`, "*", "~/x", "a=b", "-n"}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", `for a in "$@"; do :; done; printf '%s\n' `+Shell(argv)).Output()
	if err != nil || string(out) != strings.Join(argv, "\n")+"\n" {
		t.Errorf("%q, %v", out, err)
	}
}
