package hint

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"
	"testing"
)

func TestOutermostHint(t *testing.T) {
	base := errors.New("no such image")
	inner := With(base, "pull it")
	if got := Of(fmt.Errorf("start: %w", inner)); got != "pull it" {
		t.Errorf("the hint is %q", got)
	}
	outer := With(fmt.Errorf("start: %w", inner), "do this")
	if got := Of(outer); got != "do this" {
		t.Errorf("the hint is %q, want the outermost", got)
	}
	if !errors.Is(outer, base) || outer.Error() != "start: no such image" {
		t.Errorf("a hint changes the error: %v", outer)
	}
	if With(nil, "x") != nil || Of(nil) != "" || Of(base) != "" {
		t.Error("a hint comes from nothing")
	}
}

func TestDisk(t *testing.T) {
	for err, hinted := range map[error]bool{
		&fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}: true,
		fmt.Errorf("copy: %w", syscall.EDQUOT):                     true,
		syscall.EROFS:                                              true,
		syscall.EACCES:                                             false,
	} {
		got := Disk(err)
		if !errors.Is(got, err) || (Of(got) != "") != hinted {
			t.Errorf("%v has the hint %q", err, Of(got))
		}
	}
	if Disk(nil) != nil {
		t.Error("no error became one")
	}
	if got := Of(Disk(With(syscall.ENOSPC, "mine"))); got != "mine" {
		t.Errorf("the hint became %q", got)
	}
}

func TestClosest(t *testing.T) {
	names := []string{"reviewer", "reviewer-2", "shell", "demo", "writer", "w"}
	for word, want := range map[string][]string{
		"reviewr": {"reviewer"}, "shlel": {"shell"}, "dmeo": {"demo"}, "Demo": {"demo"}, "demo1": {"demo"},
		"review": {"reviewer", "reviewer-2"}, "zebra": {}, "": {}, "x": {}, "W": {"w"}, "riter": {"writer"},
	} {
		if got := Closest(word, names); !slices.Equal(got, want) {
			t.Errorf("Closest(%q) is %q, want %q", word, got, want)
		}
	}
	if got := Closest("aaa", []string{"aab", "aac", "aad", "aaa"}); !slices.Equal(got, []string{"aaa", "aab", "aac"}) {
		t.Errorf("%q, want the closest three", got)
	}
	if got := Closest("demo", slices.Repeat([]string{"demo"}, 1001)); len(got) != 0 {
		t.Errorf("%q, among more than anybody wrote", got)
	}
}
