package attack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
)

// openWorld makes the test binary a process in a world where every door is
// open: root, with all of its rights, in a network where everybody answers.
const openWorld = "ATTACK_IN_AN_OPEN_WORLD"

func TestMain(m *testing.M) {
	if os.Getenv(openWorld) == "" {
		os.Exit(m.Run()) //nolint:forbidigo // this is a main
	}
	if err := attackOpenWorld(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:forbidigo // this is a main
	}
}

// TestOpenDoorsAreSeen shows that no attempt calls a door closed that is open.
func TestOpenDoorsAreSeen(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can open all doors")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), openWorld+"=1", "HOME="+cmd.Dir, "ATTACK_SECRET=x",
		"HTTPS_PROXY=http://198.51.100.2:3128")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, errs.Bytes())
	}
	var attempts []Attempt
	if err := json.Unmarshal(out, &attempts); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if len(attempts) < 20 {
		t.Errorf("only %d attempts", len(attempts))
	}
	// Kernels may forbid even root these, or be built without; and process 1 of
	// the machine may be closed to it.
	unsure := []string{"become root in a namespace of its own", "load a kernel module", "read the memory of its own guard"}
	for _, a := range attempts {
		switch {
		case a.Must && !a.OK:
			t.Errorf("%s: %s, although everything answers", a.Tried, a.Happened)
		case !a.Must && a.OK && !slices.Contains(unsure, a.Tried):
			t.Errorf("%s: %s (%s), although the door is open", a.Tried, a.Happened, a.StoppedBy)
		default:
			t.Logf("%s: %s", a.Tried, a.Happened)
		}
	}
}

func TestMemoryIsRead(t *testing.T) {
	if r := memoryOf(os.Getpid()); !r.worked {
		t.Errorf("its own memory: %s", r.happened)
	}
}

// attackOpenWorld makes that world and attacks it.
func attackOpenWorld() error {
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		{"address", "add", "198.51.100.2/24", "dev", "lo"},
		{"address", "add", "2001:db8::2/64", "dev", "lo"},
	} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil { //nolint:noctx // ends by itself
			return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
		}
	}
	canary, err := net.Listen("tcp", "198.51.100.2:0") //nolint:noctx // lives as long as the process
	if err != nil {
		return err
	}
	for _, address := range []string{"198.51.100.2:53", "127.0.0.11:53"} {
		if err := serveNames(address); err != nil {
			return err
		}
	}
	if err := serveProxy("198.51.100.2:3128"); err != nil {
		return err
	}
	here, err := os.Getwd()
	if err != nil {
		return err
	}
	socket := filepath.Join(here, "engine.sock")
	if _, err := net.Listen("unix", socket); err != nil { //nolint:noctx // lives as long as the process
		return err
	}
	program := filepath.Join(here, "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		return err
	}
	aim, err := json.Marshal(Targets{
		Canaries: []netip.AddrPort{netip.MustParseAddrPort(canary.Addr().String())},
		Allowed:  "allowed.example", AllowedPort: 8080, Says: page, Trap: "trap.example:1", Refused: "refused.example",
		Files: []string{here}, Variables: []string{"ATTACK_SECRET"}, Sockets: []string{socket},
		Workspace: here, Program: program, UID: 1000,
	})
	if err != nil {
		return err
	}
	return Run(context.Background(), bytes.NewReader(aim), os.Stdout)
}

// serveNames answers every question with the proxy's address.
func serveNames(address string) error {
	conn, err := net.ListenPacket("udp", address) //nolint:noctx // lives as long as the process
	if err != nil {
		return err
	}
	go func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			var message dnsmessage.Message
			if message.Unpack(buffer[:n]) != nil || len(message.Questions) != 1 {
				continue
			}
			message.Response, message.Additionals = true, nil
			question := message.Questions[0]
			if question.Type == dnsmessage.TypeA {
				message.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: question.Name, Class: question.Class, TTL: 1},
					Body:   &dnsmessage.AResource{A: [4]byte{198, 51, 100, 2}},
				}}
			}
			answer, err := message.Pack()
			if err == nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	return nil
}

// page is the allowed host's.
const page = "a page\n"

// serveProxy lets everything through, and is the allowed host itself.
func serveProxy(address string) error {
	listener, err := net.Listen("tcp", address) //nolint:noctx // lives as long as the process
	if err != nil {
		return err
	}
	go func() {
		_ = http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { //nolint:gosec // G114: a test's
			if r.Method == http.MethodConnect {
				return // 200
			}
			_, _ = io.WriteString(w, page)
		}))
	}()
	return nil
}

// TestNestedIsNoAttack: what a bottle may do by its manifest is not tried.
func TestNestedIsNoAttack(t *testing.T) {
	for _, nested := range []bool{false, true} {
		tried := slices.ContainsFunc(localAttempts(Targets{Nested: nested}), func(a attempt) bool { return a.tried == inOwnNamespace })
		if tried == nested {
			t.Errorf("nested %t: tried %t", nested, tried)
		}
	}
}
