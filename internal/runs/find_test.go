package runs

import (
	"errors"
	"strings"
	"testing"

	"claude-bottle/internal/hint"
)

func TestFind(t *testing.T) {
	s := open(t)
	add := func(id ID, name string, state State) {
		t.Helper()
		create(t, s, Info{ID: id, Name: name, State: state})
	}
	add("aaaa000000001", "claude-bottle-demo", Stopped)
	add("aaaa000000002", "claude-bottle-demo", Running)
	add("aaab000000003", "claude-bottle-review", Stopped)
	add("aaab000000004", "claude-bottle-review", Stopped)
	for arg, want := range map[string]ID{
		"aaaa000000001": "aaaa000000001", "aaaa000000002": "aaaa000000002",
		"claude-bottle-demo": "aaaa000000002",
	} {
		if info, err := s.Find(arg); err != nil || info.ID != want {
			t.Errorf("Find(%q) is %v, %v", arg, info.ID, err)
		}
	}
	add("b000000000005", "", Stopped)
	if info, err := s.Find("b"); err != nil || info.ID != "b000000000005" {
		t.Errorf("a unique prefix finds %v, %v", info.ID, err)
	}
	for _, arg := range []string{"aaaa", "claude-bottle-review"} {
		_, err := s.Find(arg)
		if err == nil || !strings.Contains(err.Error(), "several runs") || strings.Count(err.Error(), "(claude") != 2 {
			t.Errorf("Find(%q): %v, want both candidates", arg, err)
		}
	}
	for arg, near := range map[string]string{
		"claude-bottle-dmeo": "did you mean claude-bottle-demo?", "aaab000000o03": "aaab000000003",
		"zzz": "claude-bottle ps --all", "": "claude-bottle ps --all",
	} {
		_, err := s.Find(arg)
		if !errors.Is(err, ErrNotFound) || !strings.Contains(hint.Of(err), near) {
			t.Errorf("Find(%q): %v, hint %q, want %q", arg, err, hint.Of(err), near)
		}
	}
}
