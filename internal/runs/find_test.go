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

// TestFindFirst: a run that is going on, and one that is named by its whole id,
// are found without the ledgers of all that are over.
func TestFindFirst(t *testing.T) {
	s := open(t)
	create(t, s, Info{ID: "aaaa000000001", Name: "claude-bottle-demo", State: Stopped})
	create(t, s, Info{ID: "aaaa000000002", Name: "claude-bottle-demo", State: Running})
	create(t, s, Info{ID: "aaaa000000003", Name: "claude-bottle-over", State: Stopped})
	create(t, s, Info{ID: "aaaa000000004", Name: "claude-bottle-twice", State: Running})
	create(t, s, Info{ID: "aaaa000000005", Name: "claude-bottle-twice", State: Running})
	for arg, want := range map[string]ID{
		"aaaa000000001": "aaaa000000001", "claude-bottle-demo": "aaaa000000002",
		"claude-bottle-over": "", "claude-bottle-twice": "", "aaaa00000000": "", "aaaa000000009": "", "": "",
	} {
		if info, found := s.findFirst(arg); info.ID != want || found != (want != "") {
			t.Errorf("findFirst(%q) is %q, %v, want %q", arg, info.ID, found, want)
		}
	}
}
