package faults_test

import (
	"sync"
	"testing"
)

// TestTwoAtOnce lets two commands act on one run at the same time, again and
// again, and none may hang, leave something, or lose the work.
func TestTwoAtOnce(t *testing.T) {
	t.Run("docker", func(t *testing.T) { twoAtOnce(t, newPlace(t).warm()) })
	t.Run("native", func(t *testing.T) { twoAtOnce(t, nativePlace(t)) })
}

func twoAtOnce(t *testing.T, p *place) {
	stop := []string{"stop", p.name()}
	exec := []string{"exec", p.name(), "--", "sh", "-c", "echo also >>extra; sleep 1"}
	ps, cleanup := []string{"ps"}, []string{"cleanup", "--yes"}
	start := []string{"start", p.agent, "--yes", "--cwd", "--", "echo another >another"}
	pairs := []struct {
		name string
		live bool // a bottle is at work; else its launcher was killed
		kept bool // the agent's work must be there afterwards
		ends bool // the agent is told to end at the same time
		do   [][]string
	}{
		{"stop and stop", true, true, false, [][]string{stop, stop}},
		{"stop and exec", true, true, false, [][]string{stop, exec}},
		{"ps and close", true, true, true, [][]string{ps, ps}},
		{"stop and close", true, true, true, [][]string{stop, stop}},
		{"exec and close", true, true, true, [][]string{exec}},
		{"cleanup and start", false, false, false, [][]string{cleanup, start}},
		{"two cleanups and start", false, false, false, [][]string{cleanup, cleanup, start}},
		{"two cleanups, start and stop beside work", true, false, false, [][]string{cleanup, stop, cleanup, start}},
		{"cleanup and start beside work", true, true, false, [][]string{cleanup, start}},
		{"ps and ps", false, true, false, [][]string{ps, ps}},
		{"ps and cleanup", false, false, false, [][]string{ps, cleanup}},
		{"cleanup and cleanup", false, false, false, [][]string{cleanup, cleanup}},
		{"stop and cleanup", true, false, false, [][]string{stop, cleanup}},
	}
	times := 1
	if all() {
		times = 3
	}
	for _, pair := range some(pairs, 1) {
		for range times {
			var launcher *running
			if pair.live {
				launcher = p.agentAtWork()
			} else {
				p.orphan()
			}
			p.together(pair.name, launcher, pair.ends, pair.do)
			if launcher != nil {
				p.endWork(launcher)
			}
			p.back(pair.name, pair.kept)
		}
	}
}

// together runs the commands at once.
func (p *place) together(what string, launcher *running, ends bool, commands [][]string) {
	p.t.Helper()
	var begun []*running
	for _, args := range commands {
		begun = append(begun, p.begin(p.command(nil, args...)))
	}
	var wait sync.WaitGroup
	if ends {
		wait.Go(func() { p.endWork(launcher) })
	}
	for i, r := range begun {
		got := r.wait()
		if got.code == -1 {
			p.t.Errorf("%s: %v: %+v", what, commands[i], got)
		}
		if got.code != 0 {
			p.t.Logf("%s: %v: code %d: %s", what, commands[i], got.code, got.stderr)
		}
	}
	wait.Wait()
}
