package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"claude-bottle/test/bench/traffic"
)

// proxy is one that stands between client and origin.
type proxy struct {
	name    string
	address string // HOST:PORT; empty for none at all
	roots   []byte // of what it shows clients, where it opens TLS
	pids    []int  // its process, and those that belong to it
	stop    func() error
	// placeholder is what stands for the secret that it puts in.
	placeholder string
}

func direct(_ *traffic.Origin) *proxy { return &proxy{name: "none", stop: func() error { return nil }} }

func (p *proxy) path(origin *traffic.Origin) traffic.Path {
	return traffic.Path{Origin: origin, Proxy: p.address, Roots: pool(origin.Roots, p.roots)}
}

// ticks are a second's clock ticks in stat (proc(5)); the kernel shows 100 to
// programs on all architectures that this runs on.
const ticks = 100

// cpu is the processor time that the proxy took so far.
func (p *proxy) cpu() (time.Duration, error) {
	var sum time.Duration
	for _, pid := range p.pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, err
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		for _, field := range fields[11:13] { // utime and stime
			n, err := strconv.ParseInt(field, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read the times of process %d: %w", pid, err)
			}
			sum += time.Duration(n) * time.Second / ticks
		}
	}
	return sum, nil
}

// startOurs runs the gateway by itself, with its record.
func (b *bench) startOurs(ctx context.Context, origin *traffic.Origin, inspect bool) (*proxy, error) {
	return b.startGateway(ctx, origin, running{inspect: inspect})
}

// running is how a gateway is run by itself.
type running struct {
	inspect bool // TLS
	signing bool // a secret is put into what goes to the origin over TLS
	apart   bool // in a session of its own
}

// startGateway runs one that lets everything through to the origin.
func (b *bench) startGateway(ctx context.Context, origin *traffic.Origin, how running) (*proxy, error) {
	var allow []map[string]any
	for _, port := range []int{origin.Plain, origin.Secure, origin.Raw, origin.League} {
		allow = append(allow, map[string]any{"host": fmt.Sprintf("%s:%d", traffic.Name, port)})
	}
	policy := map[string]any{
		"allow": allow, "private": []string{"127.0.0.0/8"},
		"resolve": map[string]string{traffic.Name: "127.0.0.1"}, "roots": string(origin.Roots),
	}
	if how.inspect {
		policy["inspect"] = "always"
	}
	if how.signing {
		policy["secrets"] = []map[string]any{{"name": "BENCH_TOKEN", "hosts": []string{fmt.Sprintf("%s:%d", traffic.Name, origin.Secure)}}}
	}
	data, err := json.Marshal(policy)
	if err != nil {
		return nil, err
	}
	return b.startWith(ctx, data, how)
}

// startWith runs one by a policy.
func (b *bench) startWith(ctx context.Context, policy []byte, how running) (*proxy, error) {
	dir, err := os.MkdirTemp(b.dir, "gateway-")
	if err != nil {
		return nil, err
	}
	path := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(path("policy.json"), policy, 0o600); err != nil {
		return nil, err
	}
	args := []string{"gateway", "--policy", path("policy.json"), "--listen", "127.0.0.1:0", "--record", path("record.jsonl")}
	if how.inspect {
		args = append(args, "--ca-cert", path("ca.pem"))
	}
	if how.signing {
		args = append(args, "--placeholders", path("placeholders"))
	}
	cmd := exec.CommandContext(ctx, b.binary, args...)
	cmd.Env = append(os.Environ(), "BENCH_TOKEN=bench-0123456789abcdefABCDEF0123456789")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: how.apart}
	said, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop := func() error {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = cmd.Wait()                          // as it was told
		return os.RemoveAll(dir)
	}
	lines := bufio.NewReader(said)
	line, err := lines.ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the gateway said %q: %w", line, err), stop())
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }() // until it ends
	p := &proxy{name: "claude-bottle", pids: []int{cmd.Process.Pid}, stop: stop}
	for word := range strings.FieldsSeq(line) {
		if _, _, err := net.SplitHostPort(strings.Trim(word, ",")); err == nil {
			p.address = strings.Trim(word, ",")
		}
	}
	if how.signing {
		text, err := os.ReadFile(path("placeholders"))
		if err != nil {
			return nil, errors.Join(err, stop())
		}
		_, p.placeholder, _ = strings.Cut(strings.TrimSpace(string(text)), "=")
	}
	if how.inspect {
		if p.roots, err = os.ReadFile(path("ca.pem")); err != nil {
			return nil, errors.Join(err, stop())
		}
	}
	return p, nil
}

// startSquid runs squid-openssl with the same names allowed, with a log of
// requests and without a cache.
func (b *bench) startSquid(ctx context.Context, origin *traffic.Origin, inspect bool) (*proxy, error) {
	dir, err := os.MkdirTemp(b.dir, "squid-")
	if err != nil {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0") // to find a free port
	if err != nil {
		return nil, err
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		return nil, err
	}
	p := &proxy{name: "squid", address: address}
	if p.roots, err = writeSquid(ctx, dir, address, origin, inspect); err != nil {
		return nil, err
	}
	path := func(name string) string { return filepath.Join(dir, name) }
	// Its master process would only watch over the one that works.
	cmd := exec.CommandContext(ctx, "squid", "-N", "-n", "bench"+strings.TrimPrefix(filepath.Base(dir), "squid-"), "-f", path("squid.conf")) // its name is part of that of its shared memory
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w (apt-get install squid-openssl)", err)
	}
	p.stop = func() error {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = cmd.Wait()                          // as it was told
		return os.RemoveAll(dir)
	}
	if err := answers(ctx, address); err != nil {
		said, _ := os.ReadFile(path("cache.log")) // empty where it did not come that far
		return nil, errors.Join(fmt.Errorf("squid does not listen: %w\n%s", err, said), p.stop())
	}
	p.pids = []int{cmd.Process.Pid}
	return p, nil
}

// writeSquid writes what squid is configured by, for the user that it runs as,
// and returns the roots by which clients know it where it inspects.
func writeSquid(ctx context.Context, dir, address string, origin *traffic.Origin, inspect bool) (roots []byte, err error) {
	path := func(name string) string { return filepath.Join(dir, name) }
	certificate, key, err := traffic.Authority()
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf(`http_port %s
hosts_file %s
acl ok dstdomain %s
acl CONNECT method CONNECT
http_access allow ok
http_access deny all
cache deny all
cache_mem 8 MB
access_log stdio:%s
buffered_logs on
cache_log %s
pid_filename %s
coredump_dir %s
shutdown_lifetime 0 seconds
tls_outgoing_options cafile=%s
`, address, path("hosts"), traffic.Name, path("access.log"), path("cache.log"), path("pid"), dir, path("origin.pem"))
	if inspect {
		config = strings.Replace(config, address, fmt.Sprintf("%s ssl-bump generate-host-certificates=on dynamic_cert_mem_cache_size=4MB tls-cert=%s", address, path("ca.pem")), 1)
		config += fmt.Sprintf("sslcrtd_program /usr/lib/squid/security_file_certgen -s %s -M 4MB\nsslcrtd_children 1\nssl_bump bump all\n", path("certificates"))
		roots = certificate
	}
	err = errors.Join(
		os.WriteFile(path("squid.conf"), []byte(config), 0o600),
		os.WriteFile(path("hosts"), []byte("127.0.0.1 "+traffic.Name+"\n"), 0o600),
		os.WriteFile(path("origin.pem"), origin.Roots, 0o600),
		os.WriteFile(path("ca.pem"), append(slices.Clone(certificate), key...), 0o600))
	if err != nil {
		return nil, err
	}
	if inspect {
		if _, err := output(exec.CommandContext(ctx, "/usr/lib/squid/security_file_certgen", "-c", "-s", path("certificates"), "-M", "4MB")); err != nil {
			return nil, fmt.Errorf("make squid's store of certificates: %w", err)
		}
	}
	return roots, own(dir)
}

// own gives a directory to the user that squid's package makes: it does not
// serve as root.
func own(dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	squid, err := user.Lookup("proxy")
	if err != nil {
		return err
	}
	uid, err := strconv.Atoi(squid.Uid)
	if err != nil {
		return err
	}
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, uid, -1))
	})
}

// answers waits until somebody listens.
func answers(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return err
		}
	}
}
