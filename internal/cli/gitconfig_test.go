package cli

import (
	"os"
	"path/filepath"
	"testing"
)

// TestPlainIdentity: what is read without git is what git reads, and what is
// not plain is left to it.
func TestPlainIdentity(t *testing.T) {
	for _, c := range []struct {
		name, text string
		plain      bool
	}{
		{"usual", "[user]\n\tname = Ada Lovelace\n\temail = ada@example.com\n[core]\n\teditor = vi\n", true},
		{"empty", "", true},
		{"last counts", "[User]\nNAME=a\n[alias]\nname = no\n[user]\n  Name =  b  \n; email = x\n", true},
		{"subsection", "[user \"x\"]\nname = no\n[user]\nemail = e@example.com", true},
		{"other sections", "[include]\npath = other\n[url \"a\"]\ninsteadOf = \"b\" # c\n[user]\nname = é\n", true},
		{"quotes", "[user]\nname = \"Ada # L\"\n", false},
		{"comment behind", "[user]\nname = Ada ; L\n", false},
		{"escape", "[user]\nname = Ada\\\n L\n", false},
		{"one line", "[user] name = Ada\n", false},
		{"no value", "[user]\nname\n", false},
		{"carriage returns", "[user]\r\nname = Ada\r\n", false},
	} {
		home := t.TempDir()
		t.Setenv("HOME", home)
		t.Setenv("XDG_CONFIG_HOME", filepath.Join(home, "none"))
		if err := os.WriteFile(filepath.Join(home, ".gitconfig"), []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		app := &App{Env: Env{Lookup: os.LookupEnv}}
		name, mail, plain := app.plainIdentity(home)
		if plain != c.plain {
			t.Errorf("%s: plain %t", c.name, plain)
		}
		if wantName, wantMail := gitIdentity(t.Context(), home); plain && (name != wantName || mail != wantMail) {
			t.Errorf("%s: %q, %q; git reads %q, %q", c.name, name, mail, wantName, wantMail)
		}
	}
}

// TestPlainIdentityWhere: of the two places the first that is there counts.
func TestPlainIdentityWhere(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", "")
	app := &App{Env: Env{Lookup: os.LookupEnv}}
	check := func(want string) {
		t.Helper()
		name, _, plain := app.plainIdentity(home)
		if asked, _ := gitIdentity(t.Context(), home); !plain || name != want || asked != want {
			t.Errorf("%q, %t; git reads %q, want %q", name, plain, asked, want)
		}
	}
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(home, path), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check("")
	if err := os.MkdirAll(filepath.Join(home, ".config", "git"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(".config/git/config", "[user]\nname = other\n")
	check("other")
	write(".gitconfig", "[core]\n")
	check("")
	t.Setenv("GIT_CONFIG_GLOBAL", filepath.Join(home, "elsewhere"))
	if _, _, plain := app.plainIdentity(home); plain {
		t.Error("a configuration elsewhere was not left to git")
	}
}
