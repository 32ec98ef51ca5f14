package faults_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"claude-bottle/internal/runs"
	"claude-bottle/test/hoststate"
)

// back runs the next command, and wants the machine to be what it was, and the
// work there when the agent said that it wrote it. What an engine was asked for
// by a process that was killed may come to be after the next command looked:
// then the one after it has to do.
func (p *place) back(what string, wrote bool) {
	p.t.Helper()
	p.backBy(what, wrote, "ps")
}

func (p *place) backBy(what string, wrote bool, next ...string) {
	p.t.Helper()
	left, first := "", ""
	deadline := time.Now().Add(settles)
	for tries := 1; ; tries++ {
		got := p.run(next...)
		tally.sweeps.Add(1)
		if got.code != 0 {
			p.t.Errorf("%s: %v: %+v", what, next, got)
		}
		var err error
		left, err = p.observer.Back(p.t.Context(), p.before, answers, append([]string{"file", hoststate.Kept}, p.but...)...)
		p.check(err)
		if left == "" && tries > 1 {
			tally.late.Add(1)
			p.t.Logf("%s: %v was needed %d times; after the first:\n%s", what, next, tries, first)
		}
		if tries == 1 {
			first = left
		}
		if left == "" || time.Now().After(deadline) {
			break
		}
	}
	if left != "" {
		p.t.Errorf("%s: after %v:\n%s", what, next, left)
	}
	if marks := p.work("marker"); wrote && (len(marks) != 1 || marks[0] != "kept\n") {
		p.t.Errorf("%s: the work is %q", what, marks)
	}
	if source, err := os.ReadFile(filepath.Join(p.project, "source")); string(source) != "of the person\n" {
		p.t.Errorf("%s: the person's own file is %q, %v", what, source, err)
	}
	p.cleanup()
	// An engine takes its time to remove others' networks.
	left, err := p.observer.Back(p.t.Context(), p.before, settles, p.but...)
	p.check(err)
	if left != "" {
		p.t.Errorf("%s: after cleanup:\n%s", what, left)
	}
}

// cleanup removes the runs that ended, a minute later: until then the ledger
// of a launch that died stays, since the engine might still make what it was
// asked for.
func (p *place) cleanup() {
	p.t.Helper()
	p.ageLedgers()
	if got := p.run("cleanup", "--yes"); got.code != 0 {
		p.t.Errorf("cleanup: %+v", got)
	}
}

// ageLedgers makes every run have ended an hour ago.
func (p *place) ageLedgers() {
	p.t.Helper()
	paths, err := filepath.Glob(filepath.Join(p.root(), "runs", "*", "ledger.json"))
	p.check(err)
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // somebody removed it just now
		}
		var ledger struct {
			Version   int             `json:"version"`
			Run       runs.Info       `json:"run"`
			Resources []runs.Resource `json:"resources"`
		}
		if json.Unmarshal(data, &ledger) != nil || ledger.Run.Ended.IsZero() {
			continue // a damaged one has no age
		}
		ledger.Run.Ended = ledger.Run.Ended.Add(-time.Hour)
		data, err = json.Marshal(ledger)
		p.check(err)
		p.check(os.WriteFile(path, data, 0o600))
	}
}

// output is what a command says, for several readers.
type output struct {
	mu   sync.Mutex // guards what follows
	data bytes.Buffer
	more chan struct{} // closed at the next write
}

func newOutput() *output { return &output{more: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.more)
	o.more = make(chan struct{})
	return o.data.Write(p)
}

// after returns what was said, and a channel that is closed when there is more.
func (o *output) after() (<-chan struct{}, string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.more, o.data.String()
}

func (o *output) text() string {
	_, text := o.after()
	return text
}

func itoa(n int) string { return strconv.Itoa(n) }

// often is how many times of one point count: who waits passes it again and
// again, more or less often.
const often = 6

// points reads the failpoints that were passed, in order, each once for each
// time: NAME and which time.
func points(list string) []point {
	data, err := os.ReadFile(list)
	if err != nil {
		return nil
	}
	passed := map[string]int{}
	var found []point
	for name := range strings.FieldsSeq(string(data)) {
		if passed[name]++; passed[name] <= often {
			found = append(found, point{name, passed[name]})
		}
	}
	return found
}

type point struct {
	name string
	n    int
}

func (p point) String() string { return p.name + "#" + itoa(p.n) }

// env makes a command do action at the point.
func (p point) env(action string) []string {
	return []string{"CLAUDE_BOTTLE_FAILPOINT=" + p.name + ":" + action + ":" + itoa(p.n)}
}
