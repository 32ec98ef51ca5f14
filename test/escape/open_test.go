//go:build linux

package escape_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"claude-bottle/test/escape/attacks"
)

// unsure are attacks that may not get through even where every door is open, and
// why.
var unsure = map[string]string{
	"host/routers":            "the world is one host, and its own router",
	"gateway/port-squatting":  "who was there first keeps a port, with or without a bottle",
	"calls/init_module":       "a kernel may be built without modules",
	"calls/finit_module":      "a kernel may be built without modules",
	"calls/delete_module":     "a kernel may be built without modules",
	"calls/kexec_load":        "a kernel may be built without it",
	"calls/lookup_dcookie":    "newer kernels have it no more",
	"calls/memfd_secret":      "a kernel may be built without it",
	"calls/unassigned":        "no kernel has them: that is what is asked",
	"abi/x32":                 "a kernel may be built without it",
	"abi/x32-socket":          "a kernel may be built without it",
	"processes/guest-program": "a program that runs cannot be written to",
	"processes/signals":       "root alone may have processes here",
	"rights/killed-first":     "nothing raised its score",
	"kernel/binfmt":           "it may not be mounted",
}

// TestOpenDoorsAreSeen runs the program as root, without a bottle, in the world
// and before a gateway that lets everything through: each attack must say so.
func TestOpenDoorsAreSeen(t *testing.T) {
	w := needWorld(t)
	w.openGateway(t)
	program, err := shared.program("escape")
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	setuid := filepath.Join(home, "setuid")
	if err := copySetuid(program, setuid); err != nil {
		t.Fatal(err)
	}
	guest := exec.CommandContext(t.Context(), program, "wait")
	hold, err := guest.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := guest.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = hold.Close()
		_ = guest.Process.Kill() // who was traced may stand still
		_ = guest.Wait()         // it was killed
	}()
	targets := w.targets(t)
	targets.Guest, targets.Gateway, targets.Setuid = guest.Process.Pid, openAddress, []string{setuid}
	engine := filepath.Join(home, "engine.sock")
	speaking(t, engine)
	abstract := "@escape-open-" + filepath.Base(home)
	speaking(t, abstract)
	targets.Marker, targets.Abstract, targets.Files = markProcess(t), []string{abstract}, []string{"/etc/passwd", engine}
	targets.Neighbour = []netip.AddrPort{netip.AddrPortFrom(uplinkAddress, w.port)}
	aim, err := json.Marshal(targets)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(bounded(t, limit), program, "-json", "-targets")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGQUIT) } // it says where it stands
	cmd.WaitDelay = 10 * time.Second
	cmd.Stdin, cmd.Dir = bytes.NewReader(aim), home
	cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "HTTPS_PROXY=http://" + openAddress.String() + ":3128"}
	leak, err := os.Open("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	defer leak.Close()
	cmd.ExtraFiles = []*os.File{leak}
	// A session of its own: one attack hangs up the terminal.
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Setsid: true}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	var results []attacks.Result
	if err := json.Unmarshal(out, &results); err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		_, known := unsure[r.ID]
		switch {
		case r.Outcome != attacks.Through && !known:
			t.Errorf("%s: %q (%s), although the door is open", r.ID, r.Outcome, r.Happened)
		default:
			t.Logf("%s: %s: %s (%d ms)", r.ID, r.Outcome, r.Happened, r.Milliseconds)
		}
	}
	w.forget()
}

// copySetuid makes a program of root's with root's bit; it is run by root here,
// so it belongs to somebody else.
func copySetuid(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.WriteFile(to, data, 0o755); err != nil { //nolint:gosec // G306: a program
		return err
	}
	if err := os.Chown(to, 54331, 54321); err != nil {
		return err
	}
	return os.Chmod(to, 0o755|os.ModeSetuid)
}

// speaking is a unix socket that says something to everybody.
func speaking(t *testing.T, name string) {
	t.Helper()
	listener, err := listenUnix(name)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "hello") // whoever it is
			_ = conn.Close()
		}
	}()
}

// openGateway lets everything through, to whoever says the nonce.
func (w *world) openGateway(t *testing.T) {
	t.Helper()
	for address, serve := range map[string]func(net.Conn){":3128": w.openProxy, ":1080": w.openSocks} {
		listener, err := w.tcp(openAddress.String()+address, serve)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() })
	}
	if err := w.udp(netip.AddrPortFrom(openAddress, 161), w.sayTo); err != nil {
		t.Fatal(err)
	}
}

func (w *world) openProxy(conn net.Conn) {
	reader := bufio.NewReader(conn)
	for {
		request, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		if request.Method != http.MethodConnect {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 27\r\n\r\n"+w.nonce+"\n") // seen by whoever asked
			continue
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		w.insideTunnel(&joined{reader, conn})
		return
	}
}

func (w *world) insideTunnel(conn net.Conn) {
	first := make([]byte, 1)
	if _, err := io.ReadFull(conn, first); err != nil {
		return
	}
	if first[0] == 22 {
		w.tls(conn)
		return
	}
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 27\r\nConnection: close\r\n\r\n"+w.nonce+"\n") // seen by whoever asked
}

func (w *world) openSocks(conn net.Conn) {
	head := make([]byte, 3+5)
	if _, err := io.ReadFull(conn, head); err != nil {
		return
	}
	rest := map[byte]int{1: 4 + 1, 3: int(head[7]) + 2, 4: 16 + 1}[head[6]]
	if _, err := io.ReadFull(conn, make([]byte, rest)); err != nil {
		return
	}
	_, _ = conn.Write([]byte{5, 0, 5, 0}) // method, then the answer, as far as anybody reads
	w.insideTunnel(conn)
}

// joined reads on from what was read ahead.
type joined struct {
	io.Reader
	net.Conn
}

func (j *joined) Read(p []byte) (int, error) { return j.Reader.Read(p) }
