package workspace

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"claude-bottle/internal/hint"
)

func TestCheck(t *testing.T) {
	top := t.TempDir()
	at := func(path string) string { return filepath.Join(top, path) }
	put(t, top, map[string]string{
		"users/me/project/a": "", "users/me/.local/state/cb/runs/0123456789abc/work/sub/a": "",
		"users/me/.local/state/cb/runs/0123456789abc/record/a": "", "other/a": "",
	})
	must(t, os.Symlink(at("users/me"), at("link-home")), os.Symlink("/", at("link-top")), os.Symlink(at("users"), at("link-users")))
	home, state := at("users/me"), at("users/me/.local/state/cb")
	const run = "users/me/.local/state/cb/runs/0123456789abc"
	for cwd, want := range map[string]string{
		at("users/me/project"): "", at("other"): "",
		"/": "whole file system", at("link-top"): "whole file system", at("link-top/"): "whole file system",
		home: "your home directory", home + "/.": "your home directory", at("link-home"): "your home directory",
		at("users"): "contains your home", top: "contains your home", at("link-users"): "contains your home",
		state: "runs of claude-bottle", at("users/me/.local"): "runs of claude-bottle",
		at("users/me/.local/state"): "runs of claude-bottle", at("link-home/.local"): "runs of claude-bottle",
		at(run): "belongs to the runs", at(run + "/record"): "belongs to the runs", state + "/runs": "belongs to the runs",
		at(run + "/work"): "", at(run + "/work/sub"): "",
		at("users/me/project/a"): "not a directory", at("missing"): "no such file",
	} {
		err := Check(cwd, home, state)
		if want == "" {
			if err != nil {
				t.Errorf("Check(%q): %v", cwd, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) || hint.Of(err) == "" {
			t.Errorf("Check(%q): %v (hint %q), want %q", cwd, err, hint.Of(err), want)
		}
	}
}

func TestCheckWithoutAStateDirectory(t *testing.T) {
	home := t.TempDir()
	put(t, home, map[string]string{"project/a": "", "x/y/a": ""})
	state := filepath.Join(home, "x/y/state/claude-bottle")
	if err := Check(filepath.Join(home, "project"), home, state); err != nil {
		t.Error(err)
	}
	for _, cwd := range []string{"x", "x/y"} { // where it will be
		if err := Check(filepath.Join(home, cwd), home, state); err == nil {
			t.Errorf("%s, which will contain the state directory, passes", cwd)
		}
	}
	if err := Check(filepath.Join(home, "project"), "", ""); err != nil {
		t.Errorf("without a home: %v", err)
	}
}
