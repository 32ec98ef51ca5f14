package e2e_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"
)

// A gateway on an engine that is crashed for its core leaves none, and nothing of
// a secret that it held in any form: not in what it prints of itself, not in its
// files, in what the engine knows of it, in what the launcher says of it, or in
// what is left of the run. (TestCrashTellsNothing is the same of a process of the
// host.)
func TestCrashedGatewayTellsNothing(t *testing.T) {
	isolated(t, func(t *testing.T, isolation string) {
		secret := "ghp_" + rand.Text() + rand.Text()[:10]
		p := newPerson(t, isolation, `env: {FORGE: {secret: "${REAL_FORGE}", hosts: [api.anthropic.com], paths: ["/x"]}}`, shell)
		p.env = append(p.env, "REAL_FORGE="+secret, "GOTRACEBACK=crash")
		for _, signal := range []string{"ABRT", "SEGV"} {
			t.Run(signal, func(t *testing.T) { p.crashes(t, signal, []string{secret}) })
		}
	})
}

// crashes launches a bottle, ends its gateway by a signal, and searches.
func (p *person) crashes(t *testing.T, signal string, secrets []string) {
	// It has used what it holds: everything that looks for it is built.
	s := onScreen(t, p.command("start", p.agent, "--yes", "--",
		"curl -s -o /dev/null -H \"Authorization: Bearer $FORGE\" https://api.anthropic.com/x; echo $((20 + 1))-up; read -r"))
	s.shows("21-up")
	gateway := "claude-bottle-" + p.agent + ".gateway"
	hears, err := p.api.ContainerAttach(t.Context(), gateway, client.ContainerAttachOptions{Stream: true, Stdout: true, Stderr: true})
	if err != nil {
		t.Fatal(err)
	}
	defer hears.Close()
	var printed bytes.Buffer
	var listening sync.WaitGroup
	listening.Go(func() { _, _ = stdcopy.StdCopy(&printed, &printed, hears.Reader) }) // ends with the gateway
	if _, err := p.api.ContainerKill(t.Context(), gateway, client.ContainerKillOptions{Signal: signal}); err != nil {
		t.Fatal(err)
	}
	listening.Wait()
	s.shows("no network")
	said := map[string]string{"its own end": printed.String(), "the engine": p.crashed(t, gateway)}
	if !strings.Contains(said["its own end"], "goroutine ") {
		t.Errorf("it did not crash: %q", said["its own end"])
	}
	s.types("\r")
	if code := s.ends(); code != 0 {
		t.Errorf("code %d:\n%s", code, s.text())
	}
	said["the launcher"] = s.text()
	for _, form := range forms(secrets) {
		for what, text := range said {
			if strings.Contains(text, form.text) {
				t.Errorf("%s says %s", what, form.what)
			}
		}
	}
	p.secretNowhere(texts(forms(secrets))...)
}

// crashed is what an engine knows of a container that has ended, and all that is
// in its files, among which is no core.
func (p *person) crashed(t *testing.T, name string) string {
	t.Helper()
	got, err := p.api.ContainerInspect(t.Context(), name, client.ContainerInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if state := got.Container.State; state.Running || state.ExitCode == 0 {
		t.Errorf("it ended with %d, running %v", state.ExitCode, state.Running)
	}
	changed, err := p.api.ContainerDiff(t.Context(), name, client.ContainerDiffOptions{})
	if err != nil {
		t.Error(err)
	}
	if text := fmt.Sprint(changed.Changes); strings.Contains(text, "core") {
		t.Errorf("it left %s", text)
	}
	all := &saying{t: t}
	all.raw(got.Raw, nil)
	all.logs(p.api.ContainerLogs(t.Context(), name, client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true}))
	files, err := p.api.ContainerExport(t.Context(), name, client.ContainerExportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	if _, err := io.Copy(&all.text, files); err != nil {
		t.Error(err)
	}
	return all.text.String()
}
