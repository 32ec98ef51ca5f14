package bottle

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestGitConfigHoldsCredential(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want bool
	}{
		"plain":              {"[remote \"origin\"]\n\turl = https://git.example.com/a/b.git\n", false},
		"ssh":                {"[remote \"origin\"]\n\turl = git@git.example.com:a/b.git\n", false},
		"name in a URL":      {"[remote \"origin\"]\n\turl = https://me@git.example.com/a.git\n", false},
		"port":               {"[remote \"origin\"]\n\turl = https://git.example.com:8443/a@b.git\n", false},
		"password in a URL":  {"[remote \"origin\"]\n\turl = https://x:t0ken@git.example.com/a.git\n", true},
		"token without name": {"[remote \"origin\"]\n\turl = \"https://:t0ken@git.example.com/a.git\"\n", true},
		"header":             {"[http \"https://git.example.com/\"]\n\textraHeader = AUTHORIZATION: basic AAAA\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			cwd := t.TempDir()
			if err := os.Mkdir(filepath.Join(cwd, ".git"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(cwd, ".git", "config"), []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := gitConfigHoldsCredential(cwd); got != test.want {
				t.Errorf("got %t", got)
			}
		})
	}
	t.Run("fifo", func(t *testing.T) {
		cwd := t.TempDir()
		if err := os.Mkdir(filepath.Join(cwd, ".git"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(filepath.Join(cwd, ".git", "config"), 0o600); err != nil {
			t.Fatal(err)
		}
		if gitConfigHoldsCredential(cwd) {
			t.Error("a fifo holds one")
		}
	})
}
