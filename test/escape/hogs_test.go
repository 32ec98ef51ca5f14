//go:build linux

package escape_test

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"claude-bottle/test/engine"
	"claude-bottle/test/escape/attacks"
)

// latest is how long a neighbour's request may take while another bottle takes
// all that it can: the machine's two processors are shared, and those of the
// tests beside it too.
const latest = 3 * time.Second

// pastDisk is how much more than its limit a bottle may have written when that is
// seen, on a machine that is busy: some MiB on one that is not.
const pastDisk = 160 << 20

// TestHogs has a bottle take all that it can of something. It gets no more than
// its limit, a neighbour's gateway goes on answering, and so does the host.
func TestHogs(t *testing.T) {
	engine.Long(t)
	list := places
	if !all() {
		list = places[3:] // what runs beside the sample wants some of the machine too
	}
	at(t, func(t *testing.T, p *person) {
		for _, hog := range attacks.Hogs() {
			if hog.Full && !all() {
				continue
			}
			t.Run(strings.TrimPrefix(hog.ID, "hog/"), func(t *testing.T) {
				if hog.Limit != "" && refused(t, p, hog) {
					return
				}
				p.takes(t, hog)
			})
		}
	}, list...)
}

// refused says that a place does not honour a limit: then it refuses the whole
// bottle, by the limit's name, and there is none that could take too much.
func refused(t *testing.T, p *person, hog attacks.Hog) bool {
	t.Helper()
	p.manifest("    limits: {" + hog.Limit + "}")
	got := p.run(nil, "start", p.agent, "--cwd", "--dry-run")
	if got.code == 0 {
		return false
	}
	name, _, _ := strings.Cut(hog.Limit, ":")
	if !strings.Contains(got.stderr, name) {
		t.Errorf("%s: code %d\n%s", hog.Limit, got.code, got.stderr)
	}
	t.Logf("refused: %s", lastLine(got.stderr))
	return true
}

func (p *person) takes(t *testing.T, hog attacks.Hog) {
	t.Helper()
	p.manifest("")
	end := p.beating(t)
	if hog.Limit != "" {
		p.manifest("    limits: {" + hog.Limit + "}")
	}
	began := time.Now()
	got := p.start(nil, "hog", hog.ID)
	took := time.Since(began)
	t.Logf("%s: code %d after %s: %s%s", hog.ID, got.code, took, got.stdout, lastLine(got.stderr))
	if hog.Ends {
		said := regexp.MustCompile(`(?m)^error: .*it used (\d+) bytes of disk, its limit is (\d+)`).FindStringSubmatch(got.stderr)
		if got.code != 125 || said == nil {
			t.Fatalf("code %d\n%s", got.code, got.stderr)
		}
		used, _ := strconv.ParseInt(said[1], 10, 64) // digits
		most, _ := strconv.ParseInt(said[2], 10, 64)
		if used-most > pastDisk {
			t.Errorf("it used %d MiB more than it may", (used-most)>>20)
		}
	} else {
		p.took(t, hog, got)
	}
	pulse := end(t)
	if len(pulse.Failed) > 0 || pulse.Longest > latest || pulse.Asked < min(20, int(took/(100*time.Millisecond))) {
		t.Errorf("the neighbour: %d requests, the longest took %s; failed: %q", pulse.Asked, pulse.Longest, pulse.Failed)
	}
	t.Logf("the neighbour: %d requests, the longest took %s", pulse.Asked, pulse.Longest)
	asked := time.Now()
	if got := p.run(nil, "ps"); got.code != 0 || time.Since(asked) > 10*time.Second {
		t.Errorf("ps: code %d after %s\n%s", got.code, time.Since(asked), got.stderr)
	}
}

// took holds what a hog that does not end its bottle says.
func (p *person) took(t *testing.T, hog attacks.Hog, got result) {
	t.Helper()
	var taken attacks.Taken
	if err := json.Unmarshal([]byte(got.stdout), &taken); err != nil || got.code != 0 {
		t.Fatalf("code %d, %v\n%s", got.code, err, got.stderr)
	}
	switch hog.ID {
	case "hog/processes":
		if taken.Count > 200 || taken.Error == "closed" {
			t.Errorf("%d processes, and one more: %s", taken.Count, taken.Error)
		}
	case "hog/orphans":
		if taken.Count > 0 || taken.Error != "closed" {
			t.Errorf("%d dead processes are left: %s", taken.Count, taken.Error)
		}
	case "hog/reserved-disk":
		if taken.Count > 0 || taken.Error != "operation not supported" {
			t.Errorf("%d bytes were reserved: %s", taken.Count, taken.Error)
		}
	case "hog/memory":
		if taken.Error != "signal: killed" {
			t.Errorf("a program that takes all memory: %s", taken.Error)
		}
	}
}

// beating is a neighbour that asks through its gateway until the function that
// is returned is called.
func (p *person) beating(t *testing.T) func(t *testing.T) attacks.Pulse {
	t.Helper()
	b, first := p.startBeside(t, "the neighbour", "pulse", allowedName)
	if first != "beating\n" {
		t.Errorf("the neighbour says %q", first)
	}
	return func(t *testing.T) (pulse attacks.Pulse) {
		t.Helper()
		if said := b.end(t); json.Unmarshal(said, &pulse) != nil {
			t.Errorf("the neighbour says %q", said)
		}
		return pulse
	}
}
