package faults_test

import "claude-bottle/test/hoststate"

const keptImage = hoststate.Kept

// name is the bottle's, of a place with one bottle.
func (p *place) name() string { return "claude-bottle-" + p.agent }

// agentAtWork launches an agent that has written its file and waits for a line.
func (p *place) agentAtWork() *running {
	p.t.Helper()
	r := p.begin(p.command(nil, "start", p.agent, "--yes", "--cwd", "--", life+"; read -r line"))
	if !r.says("wrote-it") {
		p.t.Fatalf("it does not get to work: %+v", r.wait())
	}
	return r
}

// endWork lets the agent end, if it has not.
func (p *place) endWork(r *running) result {
	p.t.Helper()
	_, _ = r.stdin.Write([]byte("\n")) // nobody listens when it has ended
	_ = r.stdin.Close()
	return r.wait()
}

// orphan leaves a running bottle whose launcher was killed.
func (p *place) orphan() {
	p.t.Helper()
	r := p.agentAtWork()
	p.check(r.cmd.Process.Kill())
	r.wait()
}
