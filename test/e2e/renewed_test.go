package e2e_test

import (
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"claude-bottle/internal/broker"
)

// endpoint renews logins as the real one does: each refresh token once.
type endpoint struct {
	logins [4]broker.Login // one after the other

	mu     sync.Mutex // guards what follows
	answer func()     // called before each answer
	now    int        // the login that is worth something
	missed int        // how often another was asked with
}

// renewing gives a person a login that has expired, kept in the file.
func renewing(t *testing.T, p *person) *endpoint {
	t.Helper()
	e := &endpoint{answer: func() {}}
	for i := range e.logins {
		e.logins[i] = broker.Login{
			Value:   "sk-ant-oat01-" + rand.Text() + rand.Text() + rand.Text() + "-AAAA",
			Refresh: "sk-ant-ort01-" + rand.Text() + rand.Text(), Expires: time.Now().Add(-time.Hour),
		}
	}
	p.server.Renew(e.renew)
	t.Cleanup(func() { p.server.Renew(nil) })
	p.env = p.withoutTokens()
	keep := p.command("login", "--file")
	keep.Stdin = strings.NewReader(e.logins[0].Text())
	if out, err := keep.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return e
}

// before has answer called before each answer.
func (e *endpoint) before(answer func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answer = answer
}

func (e *endpoint) renew(refresh string) (token, next string) {
	e.mu.Lock()
	answer := e.answer
	e.mu.Unlock()
	answer()
	e.mu.Lock()
	defer e.mu.Unlock()
	if refresh != e.logins[e.now].Refresh {
		e.missed++
		return "", ""
	}
	e.now++
	return e.logins[e.now].Value, e.logins[e.now].Refresh
}

// once wants one renewal, by the refresh token that was worth something, and
// what it gave in the file where the login is kept, and the former one nowhere.
func (e *endpoint) once(t *testing.T, p *person) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.now != 1 || e.missed > 0 {
		t.Fatalf("%d renewals, and %d tries by a token that is worth nothing", e.now, e.missed)
	}
	kept, err := os.ReadFile(filepath.Join(p.state, "claude-bottle", "secrets.json"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(kept), e.logins[1].Refresh) {
		t.Error("the renewed login is not kept")
	}
	if strings.Contains(string(kept), e.logins[0].Refresh) {
		t.Error("the former login is kept")
	}
}

// An agent whose login has expired goes on working: the gateway renews it
// before the first request, and what it got is kept for the next run. Neither
// the login nor what it was renewed to is in the bottle, or around it.
func TestNativeRenewsTheLogin(t *testing.T) {
	renewsTheLogin(t, newNativePerson(t), "native", "native")
}

func TestRenewsTheLogin(t *testing.T) {
	isolated(t, func(t *testing.T, isolation string) {
		p := newPerson(t, isolation, "", "prompt: You are renewed in "+isolation+".")
		renewsTheLogin(t, p, p.agent, "docker")
	})
}

func renewsTheLogin(t *testing.T, p *person, agent, platform string) {
	e := renewing(t, p)
	first, second := e.logins[0], e.logins[1]
	secrets := []string{first.Value, first.Refresh, second.Value, second.Refresh}
	before := len(p.server.Requests())
	p.agentSearched(t, agent, platform, secrets, second.Value)
	got := p.run("start", agent, "--platform", platform, "--yes", "--prompt", "good day")
	if want := "Hello from the local Messages API. You said: good day\n"; got.code != 0 || got.stdout != want {
		t.Fatalf("code %d, stdout %q\n%s", got.code, got.stdout, got.stderr)
	}
	answered := 0
	for _, r := range p.server.Requests()[before:] {
		if r.Bearer != "" && r.Bearer != second.Value {
			t.Errorf("%s %s came with %q", r.Method, r.Path, r.Bearer)
		}
		if r.Path == "/v1/messages" && r.Bearer == second.Value {
			answered++
		}
	}
	if answered < 3 { // two in the first run, for its tool
		t.Errorf("%d requests for an answer came with the renewed token", answered)
	}
	e.once(t, p)
}

// TestRunsShareARenewal: of two runs that have one login one renews it, and the
// other waits for it, and goes on with what that got.
func TestRunsShareARenewal(t *testing.T) {
	p := newNativePerson(t)
	e := renewing(t, p)
	before := p.proved()
	e.before(func() { // once the other's gateway may ask too
		deadline := time.After(time.Minute / 2)
		for poll := time.NewTicker(20 * time.Millisecond); p.proved() < before+2; {
			select {
			case <-deadline:
				t.Error("no other run is ready")
				return
			case <-poll.C:
			}
		}
	})
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			cmd := p.command("start", "native", "--platform", "native", "--yes", "--prompt", "good day")
			var said bytes.Buffer
			cmd.Stderr = &said
			out, err := cmd.Output()
			if want := "Hello from the local Messages API. You said: good day\n"; err != nil || string(out) != want {
				t.Errorf("%v, stdout %q\n%s", err, out, said.String())
			}
		})
	}
	both.Wait()
	e.once(t, p)
}

// proved is how many of the person's runs were shown to be closed, from when on
// their gateways renew.
func (p *person) proved() (runs int) {
	records, _ := filepath.Glob(filepath.Join(p.state, "claude-bottle", "runs", "*", "record", "egress.jsonl"))
	for _, record := range records {
		if data, err := os.ReadFile(record); err == nil && bytes.Contains(data, []byte(`"isolation"`)) {
			runs++
		}
	}
	return runs
}

// TestClosedWhileItRenews: a run that is ended while its gateway renews keeps
// what that gets.
func TestClosedWhileItRenews(t *testing.T) {
	p := newNativePerson(t)
	e := renewing(t, p)
	began, release := make(chan struct{}), make(chan struct{})
	e.before(func() { close(began); <-release })
	cmd := p.command("start", "native", "--platform", "native", "--yes", "--prompt", "good day")
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-began:
	case err := <-ended:
		t.Fatalf("it ended before it renewed: %v\n%s", err, said.String())
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		t.Errorf("it did not wait for the answer: %v", err)
	case <-time.After(time.Second):
	}
	close(release)
	if err := <-ended; cmd.ProcessState.ExitCode() != 128+int(syscall.SIGTERM) {
		t.Errorf("%v\n%s", err, said.String())
	}
	e.once(t, p)
}
