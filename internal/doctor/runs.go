package doctor

import (
	"fmt"
	"strings"
)

// Runs is what earlier launches left behind.
type Runs struct {
	// Problem says why the runs could not be listed.
	Problem string
	// Orphans are runs whose launcher died; the next command ends them.
	Orphans []string
	// Damaged are runs whose ledger cannot be read.
	Damaged []string
	// Lost are bottles in an engine that no ledger knows.
	Lost []string
	// LostProblem says why an engine could not be asked; empty also when there
	// is none.
	LostProblem string
	Live        int
	Stopped     int
}

// JudgeRuns is about what a crash left.
func JudgeRuns(r Runs) Check {
	check := Check{Name: "orphans", State: OK}
	if r.Problem != "" {
		check.State, check.Detail = Fail, r.Problem
		return check
	}
	kept := fmt.Sprintf("%d at work, %d stopped and kept", r.Live, r.Stopped)
	var found []string
	add := func(names []string, what string) {
		if len(names) > 0 {
			found = append(found, fmt.Sprintf("%d %s: %s", len(names), what, strings.Join(names, ", ")))
		}
	}
	add(r.Orphans, "left by launchers that died")
	add(r.Damaged, "with a ledger that cannot be read")
	add(r.Lost, "in the engine that no ledger knows")
	check.Detail = "none; " + kept
	if len(found) > 0 {
		check.State, check.Detail, check.Notes = Warn, kept, found
		check.Mend = "claude-bottle cleanup"
		if len(r.Damaged)+len(r.Lost) == 0 {
			check.Mend = "claude-bottle ps" // sweeps, and keeps the work
		}
	}
	if r.LostProblem != "" {
		check.Notes = append(check.Notes, "the engine could not be asked: "+r.LostProblem)
	}
	return check
}
