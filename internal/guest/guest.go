//go:build linux

package guest

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/confine"
	"claude-bottle/internal/wire"
)

// guest is what the conversations share.
type guest struct {
	env     []string
	secrets *secrets
	reaper  *reaper
	prober  *prober                // nil when no probe will be asked for
	broken  chan error             // what the prober ends the bottle with
	threads func() <-chan struct{} // makeThreads, once
	ready   chan struct{}          // closed when the launcher was told so
}

var errSecrets = refusal{codeNotExecutable, errors.New("run: the secrets were handed to an earlier process and are forgotten")}

// Init is process 1 of a bottle, or the subreaper at its root. It reads the
// boot frame from stdin, says on stdout that it is ready, and serves that
// stream and the socket until the boot stream of an attached guest ends, ctx
// ends or SIGTERM arrives; then it ends everything inside. The process must
// exit with the code that is returned. What fails is said in an error frame.
func Init(ctx context.Context, stdin io.Reader, stdout io.Writer, bounds wire.Bounds) int {
	conn := wire.NewConn(stream{stdin, stdout})
	if err := initialise(ctx, conn, policyOf(bounds)); err != nil {
		_ = conn.WriteError(err)
		return 1
	}
	return 0
}

func initialise(ctx context.Context, conn *wire.Conn, policy confine.Policy) error {
	first := openFirst()
	if err := harden(); err != nil {
		return err
	}
	// On every thread, before anything else runs; all that runs inherits it.
	if err := policy.Apply(); err != nil {
		return err
	}
	reaper, ended := newReaper(), make(chan os.Signal, 1)
	reaper.first = first
	// Its start is what takes longest, and knows nothing of the boot frame.
	prober, err := startProber(reaper)
	if err != nil {
		return err
	}
	defer prober.stop()
	swallowed, stop := listenToSignals(reaper, ended)
	defer stop()
	boot, err := readBoot(conn)
	if err != nil {
		return err
	}
	// Copies of the secrets end with boot; g.secrets has the strings.
	g := &guest{
		env: slices.Clip(boot.Env), secrets: newSecrets(boot.Secrets), reaper: reaper, broken: make(chan error, 1),
		threads: sync.OnceValue(makeThreads), ready: make(chan struct{}),
	}
	if boot.DialUID >= 0 {
		stop, err := g.listen(Socket, boot.DialUID)
		if err != nil {
			return err
		}
		defer stop()
	}
	if boot.Listener {
		stop, err := g.inherit()
		if err != nil {
			return err
		}
		defer stop()
	}
	defer killAll(reaper.reap)
	if boot.Probe {
		g.prober = prober
	} else {
		prober.stop()
		g.threads()
	}
	<-swallowed
	return g.work(ctx, conn, boot, ended)
}

// work says that the guest is ready, once the ways in are handed over, and
// serves until one of the ends comes. The boot stream is read from the start,
// so that its end is noticed before.
func (g *guest) work(ctx context.Context, conn *wire.Conn, boot wire.GuestBoot, ended <-chan os.Signal) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	handed := handOver(ctx, boot.Handover)
	served := make(chan error, 1)
	go func() { served <- (&conversation{guest: g, conn: conn, boot: true, last: boot.Attached}).serve() }()
	for {
		select {
		case err := <-handed:
			if err == nil { // until now it hands descriptors on itself
				err = boot.Shares.Take()
			}
			if err == nil {
				err = conn.Write(wire.KindReady, nil)
			}
			if err != nil {
				return err
			}
			close(g.ready)
		case err := <-served:
			if boot.Attached || boot.DialUID < 0 && !boot.Listener {
				return err
			}
			served = nil
		case err := <-g.broken:
			return err
		case <-ended:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// listenToSignals starts the reaper, and swallows what would end process 1 by
// default: the kernel protects it only from signals that have no handler, and
// Go's runtime has one for each. They are caught, not ignored: what is
// ignored stays so in every process inside. For each the runtime changes threads
// twice, so that all are swallowed only when the first channel is closed.
func listenToSignals(r *reaper, ended chan os.Signal) (swallowed <-chan struct{}, stop func()) {
	died, nobody, all := make(chan os.Signal, 1), make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(died, unix.SIGCHLD)
	signal.Notify(ended, unix.SIGTERM)
	go func() {
		defer close(all)
		signal.Notify(nobody, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGPIPE, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM,
			unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU)
	}()
	reaped := make(chan struct{})
	go func() {
		defer close(reaped)
		r.run(died)
	}()
	return all, func() {
		<-all
		for _, c := range []chan os.Signal{died, ended, nobody} {
			signal.Stop(c)
		}
		close(died)
		<-reaped
	}
}

// readBoot reads the boot frame and proves that the engine mounts the
// launcher's own file system: the nonce in the frame is the one in the file.
func readBoot(conn *wire.Conn) (wire.GuestBoot, error) {
	f, err := conn.Read()
	if err != nil {
		return wire.GuestBoot{}, fmt.Errorf("read boot frame: %w", err)
	}
	if f.Kind != wire.KindGuestBoot {
		return wire.GuestBoot{}, fmt.Errorf("%w: %v frame before the boot frame", wire.ErrProtocol, f.Kind)
	}
	var boot wire.GuestBoot
	err = f.Decode(&boot)
	clear(f.Payload) // the secrets' bytes
	if err != nil {
		return wire.GuestBoot{}, errors.New("boot frame: no valid JSON") // the cause may quote it
	}
	return boot, checkNonce(boot)
}

func checkNonce(boot wire.GuestBoot) error {
	if boot.Nonce == "" {
		return errors.New("boot frame: no nonce")
	}
	file, err := os.Open(boot.NoncePath)
	if err != nil {
		return fmt.Errorf("read nonce: %w", err)
	}
	defer file.Close()
	nonce, err := io.ReadAll(io.LimitReader(file, 4<<10))
	if err != nil {
		return fmt.Errorf("read nonce: %w", err)
	}
	if subtle.ConstantTimeCompare(nonce, []byte(boot.Nonce)) != 1 {
		return fmt.Errorf("read nonce: %s is not the launcher's: the engine mounts another file system", boot.NoncePath)
	}
	return nil
}

// start runs one process; boot says that the boot stream asks. A refusal is
// for the process, any other error for the conversation.
func (g *guest) start(conn *wire.Conn, start wire.Start, boot bool) (p *process, err error) {
	<-g.threads()
	run := func(secrets []string) ([]string, error) {
		cmd, err := resolve(start, slices.Concat(g.env, start.Env, secrets))
		if err != nil {
			return nil, err
		}
		p, err = startProcess(g.reaper, conn, cmd, start)
		return cmd.env, err
	}
	if !start.Secrets {
		_, err = run(nil)
		return p, err
	}
	if !boot {
		// A process of the agent's may share the dial uid.
		return nil, errors.New("secrets are for a process that the boot stream starts")
	}
	handed, err := g.secrets.hand(run)
	if !handed {
		return nil, errSecrets
	}
	return p, err
}

func policyOf(b wire.Bounds) confine.Policy {
	policy := confine.Bottle()
	if b.Nested {
		policy = confine.Nested()
	}
	if b.Disk {
		policy = policy.Bounded()
	}
	return policy
}

// stream makes one of a process's two standard streams.
type stream struct {
	io.Reader
	io.Writer
}

// Close closes both. It may not end a Read of a standard input that blocks;
// the process then exits.
func (s stream) Close() error {
	for _, end := range []any{s.Reader, s.Writer} {
		if closer, ok := end.(io.Closer); ok {
			_ = closer.Close()
		}
	}
	return nil
}
