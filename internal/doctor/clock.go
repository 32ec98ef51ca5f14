package doctor

import (
	"fmt"
	"time"
)

// Clock is what can be known of the time without a network: order, not
// correctness.
type Clock struct {
	Now   time.Time
	Build time.Time // of this program; zero when unknown
	Run   time.Time // when the newest run began; zero for none
	// Engine says that the engine's clock was read; Skew is how far it is
	// ahead, within SkewWithin.
	Engine           bool
	Skew, SkewWithin time.Duration
	// Synchronised is the kernel's own word, where it has one.
	Synchronised *bool
}

// Differences that matter: beyond a few minutes tokens and certificates fail.
const (
	smallSkew = 5 * time.Second
	largeSkew = 2 * time.Minute
	slack     = 24 * time.Hour // a build on another machine, in another zone
)

// JudgeClock says what is surely wrong; what is right nobody knows here.
func JudgeClock(c Clock) Check {
	check := Check{Name: "clock", State: OK, Mend: ""}
	const (
		mend         = "sudo timedatectl set-ntp true"
		machineClock = "a virtual machine that starts reads the time anew"
	)
	before := func(what string, then time.Time) Check {
		return Check{
			Name: check.Name, State: Fail, Mend: mend,
			Detail: fmt.Sprintf("%s is before %s (%s): certificates would be refused",
				c.Now.UTC().Format(time.DateTime), what, then.UTC().Format(time.DateTime)),
		}
	}
	switch {
	case !c.Build.IsZero() && c.Now.Before(c.Build.Add(-slack)):
		return before("this program was made", c.Build)
	case !c.Run.IsZero() && c.Now.Before(c.Run.Add(-smallSkew)):
		return before("the newest run began", c.Run)
	}
	check.Detail = "not before this program and its newest run; more cannot be known without a network"
	if c.Synchronised != nil && *c.Synchronised {
		check.Detail = "the kernel says that it is synchronised"
	}
	skew := c.Skew.Abs() - c.SkewWithin
	switch {
	case c.Engine && skew > largeSkew:
		check.State, check.Detail = Fail, "the engine's differs by "+c.Skew.Round(time.Second).String()+": certificates may be refused in bottles"
		check.Notes, check.Mend = notes(machineClock), "docker desktop restart"
	case c.Engine && skew > smallSkew:
		check.State, check.Detail = Warn, "the engine's differs by "+c.Skew.Round(time.Second).String()
		check.Notes, check.Mend = notes(machineClock), "docker desktop restart"
	case c.Engine:
		check.Detail += "; the engine's agrees"
	}
	return check
}
