package shares

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

func limitOf(t *testing.T, number int) unix.Rlimit {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(number, &limit); err != nil {
		t.Fatal(err)
	}
	return limit
}

// TestOwn: a bottle has no more than a part, and no less than programs need.
func TestOwn(t *testing.T) {
	own, err := Own()
	if err != nil || len(own) != len(resources) {
		t.Fatalf("%v, %v", own, err)
	}
	for i, r := range resources {
		all, most := limitOf(t, r.number).Max, own[i].Most
		if own[i].Resource != r.number || most > all || most > r.most || most > all/r.part && most > r.least || most < min(all, r.least) {
			t.Errorf("%s: %d of %d", r.what, most, all)
		}
	}
}

// TestTogether: limits are lower while the namespace is made, and as before
// when it is, also when it could not be.
func TestTogether(t *testing.T) {
	var before []unix.Rlimit
	for _, r := range resources {
		before = append(before, limitOf(t, r.number))
	}
	failed := errors.New("not made")
	err := Together(func() error {
		for i, r := range resources {
			if now := limitOf(t, r.number); r.counted && now.Cur > before[i].Max/4*3 {
				t.Errorf("%s: %d of %d", r.what, now.Cur, before[i].Max)
			}
		}
		return failed
	})
	if !errors.Is(err, failed) {
		t.Error(err)
	}
	for i, r := range resources {
		if now := limitOf(t, r.number); now != before[i] {
			t.Errorf("%s: %+v, before %+v", r.what, now, before[i])
		}
	}
}
