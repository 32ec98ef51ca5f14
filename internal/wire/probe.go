package wire

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Probe asks a guest to try, before anything of the agent's runs, what must
// fail and each way that must work. Addresses are of canaries alone: nothing
// else is ever sent to.
type Probe struct {
	// Deadline is how long silence is listened to; Late, how much longer
	// somebody still listens for an answer that ends the run.
	Deadline time.Duration `json:"deadline"`
	Late     time.Duration `json:"late"`
	// Word is this launch's own; canaries say it.
	Word string `json:"word"`
	// Doors must not answer, over TCP and UDP.
	Doors []Door `json:"doors"`
	// Gateway answers on Ports; the zero value is a bottle without one.
	Gateway netip.Addr `json:"gateway"`
	Ports   Ports      `json:"ports"`
	// Health is the path by which a gateway that is not our own says that it is
	// ready; empty for our own. Such a one is on no trial.
	Health string `json:"health,omitempty"`
	// Resolver is the engine's own, which may forward to the gateway alone;
	// the zero value is an engine without one.
	Resolver netip.AddrPort `json:"resolver"`
	// SilentServfail says that such an engine answers SERVFAIL for what it does
	// not forward at all.
	SilentServfail bool `json:"silentServfail,omitempty"`
	Names
	// UID and GID are the agent's.
	UID int `json:"uid"`
	GID int `json:"gid"`
	// Kernel is what the platform's kernel is expected to report.
	Kernel Kernel `json:"kernel"`
	// Own are the bottle's addresses; any other is another way out.
	Own []netip.Addr `json:"own"`
	// Alone says that the bottle has no network: no interface but loopback, no
	// route, and whatever is sent elsewhere is refused at once.
	Alone bool `json:"alone,omitempty"`
	// Everybody are addresses of many (broadcast, multicast) that the launcher's
	// canary must not hear Word from.
	Everybody []netip.AddrPort `json:"everybody,omitempty"`
	// Nested bottles may make namespaces and mounts.
	Nested bool `json:"nested,omitempty"`
	// Bounded ones have a limit of disk.
	Bounded bool `json:"bounded,omitempty"`
	// Mounted is what of the host must be there, and nothing in its place.
	Mounted []Mounted `json:"mounted,omitempty"`
	// Program is looked for as Start.Argv[0] would be, in Dir.
	Program string `json:"program,omitempty"`
	Dir     string `json:"dir,omitempty"`
}

// Mounted is a file or directory of the host's, as the kernel knows it.
type Mounted struct {
	Path string `json:"path"`
	Dev  uint64 `json:"dev"`
	Ino  uint64 `json:"ino"`
}

// Names are what a policy says of some; each is empty where it has none.
type Names struct {
	// Allowed is a name with a port that the policy lets through, Refused one
	// that it does not.
	Allowed     string `json:"allowed,omitempty"`
	AllowedPort int    `json:"allowedPort,omitempty"`
	Refused     string `json:"refused,omitempty"`
	// AllowedHTTP may be asked for its root by plain HTTP on port 80, and
	// AllowedTLS be reached by TLS on port 443.
	AllowedHTTP string `json:"allowedHTTP,omitempty"`
	AllowedTLS  string `json:"allowedTLS,omitempty"`
}

// Door is an address that must not be reached.
type Door struct {
	Kind    string         `json:"kind"` // one of package probe's
	Address netip.AddrPort `json:"address"`
}

// Kernel is how the kernel of a runtime reports a confined process in
// /proc/self/status. An empty field is not looked at.
type Kernel struct {
	Name string `json:"name"`
	// Seccomp is the mode, and Filters the least number of filters, where the
	// kernel counts them.
	Seccomp string `json:"seccomp,omitempty"`
	Filters int    `json:"filters,omitempty"`
	// NoNewPrivs is "1" where it is reported.
	NoNewPrivs string `json:"noNewPrivs,omitempty"`
	// Unbounded says that the bounding set of capabilities is whole, which
	// means nothing to a process that can gain no privileges.
	Unbounded bool `json:"unbounded,omitempty"`
	// Unmapped says that groups of the person's, which a user namespace of an
	// ordinary user's cannot give up, may be there under no number of their
	// own.
	Unmapped bool `json:"unmapped,omitempty"`
	// Devices are nodes in /dev, beside those of every bottle, that are the
	// runtime's own and not the host's.
	Devices []string `json:"devices,omitempty"`
	// Skip are the kinds of checks that mean nothing on the platform.
	Skip []string `json:"skip,omitempty"`
}

// Probed is what a probe found.
type Probed struct {
	Findings []Finding     `json:"findings"`
	Took     time.Duration `json:"took"`
}

// Finding is the result of one check.
type Finding struct {
	Kind   string `json:"kind"`   // one of package probe's
	Target string `json:"target"` // what was tried
	// Failed is a door that is open, or a way that does not work.
	Failed bool `json:"failed,omitempty"`
	// Warned is a door that is open as the plan said. Only launchers set it.
	Warned bool `json:"warned,omitempty"`
	// Detail is what happened.
	Detail string `json:"detail"`
	// Code is that of a program that could not be run, see Exit.
	Code int `json:"code,omitempty"`
	// Took is when the check was through, from the beginning of the probe; of
	// checks that ask nobody, how long it took.
	Took time.Duration `json:"took,omitempty"`
}

// Bounds of what a probe reports.
const (
	maxFindings = 4096
	maxFinding  = 512 // bytes of each text
)

// bounded checks and cleans what came out of a bottle.
func (p Probed) bounded() (Probed, error) {
	if len(p.Findings) > maxFindings {
		return Probed{}, fmt.Errorf("%w: %d findings", ErrProtocol, len(p.Findings))
	}
	for i := range p.Findings {
		f := &p.Findings[i]
		f.Warned = false
		for _, text := range []*string{&f.Kind, &f.Target, &f.Detail} {
			*text = Printable((*text)[:min(len(*text), maxFinding)])
		}
	}
	return p, nil
}

// Probe has the guest try what it is asked, once, before the first Exec.
func (c *GuestClient) Probe(ctx context.Context, probe Probe) (Probed, error) {
	var probed Probed
	done := make(chan struct{})
	err := c.request(ctx, "probe the bottle", KindProbe, probe, done, func(f Frame) error { return probed.take(f, done) })
	if err != nil {
		return Probed{}, err
	}
	return probed, nil
}

// BootProbed is Boot, then Probe, with nothing in between to wait for: the guest
// reads what to try while its child still starts.
func (c *GuestClient) BootProbed(ctx context.Context, boot GuestBoot, probe Probe) (Probed, error) {
	var probed Probed
	ready, done := false, make(chan struct{})
	err := c.ask(ctx, "boot and probe the bottle", done, func(f Frame) error {
		if !ready && f.Kind == KindReady {
			ready = true
			return nil
		}
		if !ready {
			return fmt.Errorf("%w: %v frame while it boots", ErrProtocol, f.Kind)
		}
		return probed.take(f, done)
	}, func() error {
		if err := c.conn.WriteJSON(KindGuestBoot, boot); err != nil {
			return err
		}
		return c.conn.WriteJSON(KindProbe, probe)
	})
	if err != nil {
		return Probed{}, err
	}
	return probed, nil
}

// take reads the one answer to a probe, and closes done.
func (p *Probed) take(f Frame, done chan struct{}) (err error) {
	if f.Kind != KindProbed || isClosed(done) {
		return fmt.Errorf("%w: %v frame while it probes", ErrProtocol, f.Kind)
	}
	if err := f.Decode(p); err != nil {
		return err
	}
	if *p, err = p.bounded(); err == nil {
		close(done)
	}
	return err
}

// Said is what the guest said that ended the stream, a *RemoteError, or nil.
// It means nothing before Done is closed.
func (c *GuestClient) Said() error {
	var remote *RemoteError
	if errors.As(c.err, &remote) {
		return remote
	}
	return nil
}

// GatewayReady is a gateway's ready frame.
type GatewayReady struct {
	// Canaries are those that say GatewayBoot.Word, one on each address that
	// the gateway has beside the bottle's side, over TCP and UDP.
	Canaries []Canary `json:"canaries,omitempty"`
}

// Canary is an address with its network, and a port on it.
type Canary struct {
	Leg  netip.Prefix `json:"leg"`
	Port uint16       `json:"port"`
}

// Address is where the canary is.
func (c Canary) Address() netip.AddrPort { return netip.AddrPortFrom(c.Leg.Addr(), c.Port) }

// GatewayProbe asks a gateway on trial to look at itself, and to try what it
// must not reach.
type GatewayProbe struct {
	Deadline time.Duration `json:"deadline"`
	Doors    []Door        `json:"doors"`
	UID      int           `json:"uid"`
	// Kernel is what the gateway's kernel is expected to report.
	Kernel Kernel   `json:"kernel"`
	Skip   []string `json:"skip,omitempty"`
	// Files are the person's, which a gateway that is confined cannot open.
	Files []string `json:"files,omitempty"`
}

// Settle ends a gateway's trial: it closes its canaries, records what the
// probe found, and from then on carries what the policy allows.
type Settle struct {
	// Summary is for the record.
	Summary string `json:"summary"`
}

// Canaries are those that a gateway on trial has, after Boot.
func (c *GatewayClient) Canaries() []Canary { return c.ready.Canaries }

// Probe has a gateway on trial look at itself.
func (c *GatewayClient) Probe(ctx context.Context, probe GatewayProbe) (Probed, error) {
	var probed Probed
	err := c.conn.exchange(ctx, KindProbe, probe, KindProbed, &probed)
	if err == nil {
		probed, err = probed.bounded()
	}
	if err != nil {
		return Probed{}, fmt.Errorf("probe the gateway: %w", err)
	}
	return probed, nil
}

// Settle ends the trial.
func (c *GatewayClient) Settle(ctx context.Context, settle Settle) error {
	if err := c.conn.exchange(ctx, KindSettle, settle, KindReady, nil); err != nil {
		return fmt.Errorf("settle the gateway: %w", err)
	}
	return nil
}
