package runs

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"claude-bottle/internal/hint"
)

// Find returns the run that arg means: its id, a prefix of it that no other
// has, or its bottle's name. Of several with one name, the one that has not
// stopped is meant.
func (s *Store) Find(arg string) (Info, error) {
	if info, found := s.findFirst(arg); found {
		return info, nil
	}
	infos, err := s.List()
	if err != nil {
		return Info{}, err
	}
	found := matching(infos, arg)
	switch len(found) {
	case 0:
		return Info{}, unknown(infos, arg)
	case 1:
		return found[0], nil
	default:
		return Info{}, hint.With(fmt.Errorf("%q means several runs: %s", arg, strings.Join(describe(found), ", ")),
			"name it by its id, or the beginning of that; the latest is "+string(found[len(found)-1].ID))
	}
}

// findFirst is Find for an id, and for the name of a run that is not over: what
// is over, of which there may be hundreds, is then not read.
func (s *Store) findFirst(arg string) (Info, bool) {
	if id := ID(arg); id.Valid() {
		info, _, err := s.Load(id)
		if err == nil || !errors.Is(err, ErrNotFound) {
			return info, err == nil
		}
	}
	infos, err := s.Unsettled()
	live := filter(infos, func(info Info) bool { return info.Name == arg && info.State != Stopped })
	if err != nil || arg == "" || len(live) != 1 {
		return Info{}, false
	}
	return live[0], true
}

func matching(infos []Info, arg string) []Info {
	if arg == "" {
		return nil
	}
	if i := slices.IndexFunc(infos, func(info Info) bool { return info.ID == ID(arg) }); i >= 0 {
		return infos[i : i+1]
	}
	named := filter(infos, func(info Info) bool { return info.Name == arg })
	if live := filter(named, func(info Info) bool { return info.State != Stopped }); len(live) == 1 {
		return live
	}
	if len(named) > 0 {
		return named
	}
	return filter(infos, func(info Info) bool { return strings.HasPrefix(string(info.ID), arg) })
}

func filter(infos []Info, keep func(Info) bool) []Info {
	var kept []Info
	for _, info := range infos {
		if keep(info) {
			kept = append(kept, info)
		}
	}
	return kept
}

// describe lists at most ten runs, the latest first.
func describe(infos []Info) []string {
	var lines []string
	for i, info := range slices.Backward(infos) {
		if len(lines) == 10 {
			return append(lines, fmt.Sprintf("and %d more", i+1))
		}
		lines = append(lines, fmt.Sprintf("%s (%s, %s)", info.ID, info.Name, info.State))
	}
	return lines
}

func unknown(infos []Info, arg string) error {
	err := fmt.Errorf("%w: %q", ErrNotFound, arg)
	var names []string
	for _, info := range infos {
		names = append(names, string(info.ID))
		if info.Name != "" {
			names = append(names, info.Name)
		}
	}
	if near := hint.Closest(arg, names); len(near) > 0 {
		return hint.With(err, "did you mean "+strings.Join(near, " or ")+"?")
	}
	return hint.With(err, "see which there are: claude-bottle ps --all")
}
