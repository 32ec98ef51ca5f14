package doctor

// Terminal is what the person sits at.
type Terminal struct {
	// In, Out and Err say which of the standard streams are one.
	In, Out, Err bool
	Name         string // TERM
	UTF8         bool
}

// JudgeTerminal is about what an agent at a terminal needs.
func JudgeTerminal(t Terminal) Check {
	check := Check{Name: "terminal", State: OK}
	switch {
	case !t.In || !t.Out:
		check.Detail = "none here: agents run with --prompt, and questions are refused"
	case t.Name == "" || t.Name == "dumb":
		check.State, check.Mend = Warn, "export TERM=xterm-256color"
		check.Detail = "TERM does not say what it can: full-screen programs look odd"
	case !t.UTF8:
		check.State, check.Mend = Warn, "export LANG=C.UTF-8"
		check.Detail = t.Name + ", but the locale is not UTF-8: an agent's screen looks odd"
	default:
		check.Detail = t.Name + ", UTF-8"
	}
	return check
}
