package attack

import (
	"context"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOrder(t *testing.T) {
	got := order([]Attempt{{Tried: "a", Must: true}, {Tried: "b"}, {Tried: "c", Must: true}, {Tried: "d"}})
	var names []string
	for _, a := range got {
		names = append(names, a.Tried)
	}
	if diff := cmp.Diff([]string{"b", "d", "a", "c"}, names); diff != "" {
		t.Error(diff)
	}
}

func TestAttemptOutcome(t *testing.T) {
	for _, c := range []struct{ must, works, ok bool }{
		{false, false, true}, {false, true, false}, {true, true, true}, {true, false, false},
	} {
		a := attempt{must: c.must, try: func(context.Context) result { return result{worked: c.works} }}.run(t.Context())
		if a.OK != c.ok {
			t.Errorf("must %v, worked %v: OK is %v", c.must, c.works, a.OK)
		}
	}
}

func TestReason(t *testing.T) {
	for text, want := range map[string]string{
		"claude-bottle refused this: x is not on the allowlist\nhost: x:443\n": "x is not on the allowlist",
		"":          "status 403",
		"Forbidden": "status 403",
	} {
		if got := reason(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestReached(t *testing.T) {
	for _, err := range []error{nil, syscall.ECONNREFUSED, syscall.ECONNRESET} {
		if !Reached(err) {
			t.Errorf("%v: somebody was there", err)
		}
	}
	for _, err := range []error{syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EPERM, context.DeadlineExceeded} {
		if Reached(err) {
			t.Errorf("%v: nobody was there", err)
		}
	}
}

func TestRunRefusesNonsense(t *testing.T) {
	if err := Run(t.Context(), strings.NewReader("{"), nil); err == nil {
		t.Error("it read nonsense")
	}
}
