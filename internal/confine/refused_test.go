//go:build linux

package confine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestRefused makes the calls of each row, twice: under the filter, where the
// row's errno must come, and without it, where the kernel must answer
// something else, or the try shows nothing.
func TestRefused(t *testing.T) {
	answers := func(role string) (list []tried) {
		if err := json.Unmarshal([]byte(output(t, inRole(t, role))), &list); err != nil {
			t.Fatal(err)
		}
		return list
	}
	bare, bound := answers(roleTry), answers(roleTryBound)
	powerful := hasAllCapabilities(t)
	for _, row := range Bottle().Bounded().Refused {
		t.Run(row.Name, func(t *testing.T) {
			tries, differs, missing := 0, 0, 0
			for i, got := range bound {
				if got.Row != row.Name {
					continue
				}
				tries++
				if got.Errno != row.Errno {
					t.Errorf("%s %s: %v, want %v", got.Call, got.Note, got.Errno, row.Errno)
				}
				switch kernel := bare[i].Errno; kernel {
				case row.Errno:
				case unix.ENOSYS, unix.EAFNOSUPPORT, unix.EPROTONOSUPPORT:
					missing++
				default:
					differs++
				}
				t.Logf("%s %s: %v, and %v without the filter", got.Call, got.Note, got.Errno, bare[i].Errno)
			}
			switch {
			case tries == 0 && !slices.ContainsFunc(strings.Fields(row.Calls), isNative):
				t.Skip("no call of this architecture")
			case tries == 0:
				t.Error("no try")
			case differs == 0 && missing == 0 && powerful && row.Errno != unix.ENOSYS:
				t.Error("the kernel answers the same without the filter")
			}
		})
	}
	t.Run("allowed beside", func(t *testing.T) {
		for i, got := range bound {
			if got.Row == allowed && got.Errno != bare[i].Errno {
				t.Errorf("%s %s: %v, and %v without the filter", got.Call, got.Note, got.Errno, bare[i].Errno)
			}
		}
	})
}

func isNative(name string) bool {
	return slices.ContainsFunc(native().calls, func(c call) bool { return c.name == name })
}

// hasAllCapabilities says whether the kernel itself would refuse nothing.
func hasAllCapabilities(t *testing.T) bool {
	t.Helper()
	all := status(t, "/proc/self/status")["CapEff"]
	return strings.HasPrefix(all, "000001ff")
}

func status(t *testing.T, path string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return parseStatus(text)
}

func parseStatus(text []byte) map[string]string {
	fields := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.TrimSpace(value)
	}
	return fields
}

// TestEveryThreadIsConfined, also those that were there before, and children.
func TestEveryThreadIsConfined(t *testing.T) {
	var threads []map[string]string
	if err := json.Unmarshal([]byte(output(t, inRole(t, roleThreads))), &threads); err != nil {
		t.Fatal(err)
	}
	if len(threads) < 10 {
		t.Errorf("%d threads", len(threads))
	}
	for _, fields := range threads {
		if fields["Seccomp"] != "2" || fields["NoNewPrivs"] != "1" {
			t.Errorf("%s: Seccomp %s, NoNewPrivs %s", fields["Name"], fields["Seccomp"], fields["NoNewPrivs"])
		}
	}
}

func reportThreads(w io.Writer) error {
	const extra = 8
	up, end := make(chan struct{}), make(chan struct{})
	defer close(end)
	for range extra {
		go func() {
			runtime.LockOSThread()
			up <- struct{}{}
			<-end
		}()
	}
	for range extra {
		<-up
	}
	if err := Bottle().Apply(); err != nil {
		return err
	}
	files, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil {
		return err
	}
	var all []map[string]string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue
		}
		if err != nil {
			return err
		}
		all = append(all, parseStatus(text))
	}
	child, err := exec.CommandContext(context.Background(), "cat", "/proc/self/status").Output()
	if err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(append(all, parseStatus(child)))
}

// TestApplyFailsClosed where a sandbox around it forbids filters.
func TestApplyFailsClosed(t *testing.T) {
	cmd := inRole(t, roleTwice)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err == nil || !strings.Contains(stderr.String(), "install the seccomp filter: the kernel has no") {
		t.Errorf("%v: %s", err, stderr.String())
	}
}

func applyTwice() error {
	outer := Bottle()
	outer.Refused = append(outer.Refused, Row{Name: "no filters", Calls: "seccomp", Errno: unix.EINVAL})
	if err := outer.Apply(); err != nil {
		return fmt.Errorf("the outer one: %w", err)
	}
	return Bottle().Apply()
}

// TestApplyIsQuick: a launch waits for it.
func TestApplyIsQuick(t *testing.T) {
	best := time.Hour
	for range 20 {
		took, err := time.ParseDuration(strings.TrimSpace(output(t, inRole(t, roleTime))))
		if err != nil {
			t.Fatal(err)
		}
		best = min(best, took)
	}
	t.Logf("%v", best)
	if limit := time.Millisecond * slowdown; best > limit {
		t.Errorf("%v, more than %v", best, limit)
	}
}

func timeApply(w io.Writer) error {
	begin := time.Now()
	if err := Bottle().Apply(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, time.Since(begin))
	return err
}
