//go:build linux

package confine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// TestGatewayPolicy: a server and client in Go works under it, and nothing
// can be started or brought. The gateway itself runs under it in every test
// of a platform.
func TestGatewayPolicy(t *testing.T) {
	var answers []tried
	if err := json.Unmarshal([]byte(output(t, inRole(t, roleGateway))), &answers); err != nil {
		t.Fatal(err)
	}
	for _, row := range confinedToItself() {
		tries := 0
		for _, got := range answers {
			if got.Row != row.Name {
				continue
			}
			tries++
			if got.Errno != row.Errno {
				t.Errorf("%s %s %s: %v, want %v", row.Name, got.Call, got.Note, got.Errno, row.Errno)
			}
		}
		if tries == 0 && slices.ContainsFunc(strings.Fields(row.Calls), isNative) {
			t.Errorf("%s: no try", row.Name)
		}
	}
	for _, got := range answers {
		if got.Row == allowed && got.Errno != 0 {
			t.Errorf("%s %s: %v", got.Call, got.Note, got.Errno)
		}
	}
}

// TestGatewayIsStricter: nothing is allowed to it that a bottle may not do.
func TestGatewayIsStricter(t *testing.T) {
	for _, arch := range architectures() {
		bottle, err := Bottle().verdicts(arch)
		if err != nil {
			t.Fatal(err)
		}
		gateway, err := Gateway().verdicts(arch)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range arch.calls {
			b, g := bottle[c.number], gateway[c.number]
			if g.allow && !b.allow || len(g.rows) < len(b.rows) {
				t.Errorf("%s: %s", arch.name, c.name)
			}
		}
		machineFor(t, Gateway(), arch)
	}
}

// beGateway does what a gateway does, then what it must not.
func beGateway(w io.Writer) error {
	if err := Gateway().Apply(); err != nil {
		return err
	}
	if err := serveAndDial(); err != nil {
		return err
	}
	if err := exec.CommandContext(context.Background(), "/bin/true").Run(); !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("start a program: %w", err)
	}
	page := uintptr(os.Getpagesize())
	private := uintptr(unix.MAP_PRIVATE | unix.MAP_ANONYMOUS)
	return makeTries(w, []try{
		{"execution", "execve", "", nonsense},
		{"execution", "execveat", "", nonsense},
		{"processes", "clone", "a process", args(uintptr(unix.SIGCHLD) | high)},
		{"old-processes", "fork", "", args()},
		{"old-processes", "vfork", "", args()},
		{"new-code", "mmap", "writable and executable", args(0, page, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, private, ^uintptr(0))},
		{"new-code", "mprotect", "executable", args(0, page, unix.PROT_EXEC|high)},
		{allowed, "getpid", "", args()},
	})
}

func serveAndDial() error {
	record, err := os.OpenFile("record", os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer record.Close()
	if _, err := net.InterfaceAddrs(); err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	packets, err := (&net.ListenConfig{}).ListenPacket(context.Background(), "udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer packets.Close()
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { //nolint:gosec // G112: of a test
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	})}
	defer server.Close()
	go func() { _ = server.Serve(listener) }()
	var group sync.WaitGroup
	failures := make(chan error, 200)
	for range cap(failures) {
		group.Go(func() { failures <- post("http://" + listener.Addr().String()) })
	}
	group.Wait()
	close(failures)
	for failure := range failures {
		err = errors.Join(err, failure)
	}
	return errors.Join(err, record.Sync())
}

func post(url string) error {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, strings.NewReader(strings.Repeat("x", 1<<16)))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && len(body) != 1<<16 {
		err = fmt.Errorf("%d bytes", len(body))
	}
	return err
}
