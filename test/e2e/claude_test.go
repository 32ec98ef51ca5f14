package e2e_test

import (
	"crypto/rand"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"claude-bottle/test/messagesapi"
	"claude-bottle/test/search"
)

// isolated runs a test on the engine's own runtime and under gVisor.
func isolated(t *testing.T, test func(t *testing.T, isolation string)) {
	for _, isolation := range []string{"runc", "runsc"} {
		t.Run(isolation, func(t *testing.T) { test(t, isolation) })
	}
}

func TestPromptPrintsTheAnswer(t *testing.T) {
	isolated(t, func(t *testing.T, isolation string) {
		p := newPerson(t, isolation, "", "prompt: You speak about "+isolation+".")
		got := p.start("--prompt", "good day")
		if want := "Hello from the local Messages API. You said: good day\n"; got.stdout != want {
			t.Errorf("stdout %q, want %q", got.stdout, want)
		}
		// What the server saw: the token under the name that Claude Code
		// knows, the agent's role, and the note about refusals.
		i := slices.IndexFunc(p.server.Requests(), func(r messagesapi.Request) bool {
			return strings.Contains(r.Conversation.System, "You speak about "+isolation)
		})
		if i < 0 {
			t.Fatal("no request carries the agent's role")
		}
		request := p.server.Requests()[i]
		if request.Bearer != token {
			t.Errorf("the server got the token %q", request.Bearer)
		}
		if !strings.Contains(request.Conversation.Reminders, "claude-bottle") {
			t.Error("the note about refusals did not reach the agent")
		}
	})
}

func TestInteractive(t *testing.T) {
	isolated(t, func(t *testing.T, isolation string) {
		p := newPerson(t, isolation, "", "prompt: You speak on a screen about "+isolation+".")
		s := onScreen(t, p.command("start", p.agent, "--cwd"))
		s.shows("launch this agent? [y/N]")
		s.types("y\r")
		s.shows("bypass permissions on") // below the input line; no wizard, no dialog
		s.types("good day")
		s.shows("good day")
		s.types("\r")
		s.shows("You said: good day")
		s.types("/exit")
		s.shows("/exit")
		s.types("\r")
		if code := s.ends(); code != 0 {
			t.Errorf("code %d:\n%s", code, s.text())
		}
		for _, never := range []string{"Welcome to", "Do you trust", "WARNING", "Detected a custom API key", "/login"} {
			if strings.Contains(s.text(), compact(never)) {
				t.Errorf("shown: %q", never)
			}
		}
		if !slices.ContainsFunc(p.server.Requests(), func(r messagesapi.Request) bool {
			return strings.Contains(r.Conversation.System, "You speak on a screen about "+isolation)
		}) {
			t.Error("no request carries the agent's role")
		}
	})
}

// An API key under its own name is used, and not asked about.
func TestInteractiveWithAnAPIKey(t *testing.T) {
	p := newPerson(t, "runc", "", "")
	key := "sk-ant-api03-" + rand.Text() + rand.Text()
	p.env = append(slices.DeleteFunc(p.env, func(v string) bool { return strings.Contains(v, "TOKEN") }), "ANTHROPIC_API_KEY="+key)
	s := onScreen(t, p.command("start", p.agent, "--yes"))
	s.shows("bypass permissions on")
	s.types("with a key")
	s.shows("with a key")
	s.types("\r")
	s.shows("You said: with a key")
	s.types("/exit")
	s.shows("/exit")
	s.types("\r")
	if code := s.ends(); code != 0 {
		t.Errorf("code %d:\n%s", code, s.text())
	}
	if !slices.ContainsFunc(p.server.Requests(), func(r messagesapi.Request) bool { return r.Key == key }) {
		t.Error("the server never got the key")
	}
	p.secretNowhere(key[len(key)-20:])
}

func TestToolWritesIntoTheWork(t *testing.T) {
	isolated(t, func(t *testing.T, isolation string) {
		p := newPerson(t, isolation, "", "")
		got := p.start("--prompt", "write /home/node/workspace/sub/note.txt made inside")
		path := filepath.Join(p.work(), "sub", "note.txt")
		data, err := os.ReadFile(path)
		if err != nil || string(data) != "made inside\n" {
			t.Fatalf("%q, %v\n%s", data, err, got.stderr)
		}
		if !strings.Contains(got.stderr, p.work()) || !strings.Contains(got.stderr, "1 added") {
			t.Errorf("the last line does not say what changed and where:\n%s", got.stderr)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if uid := info.Sys().(*syscall.Stat_t).Uid; uid == 0 {
			t.Error("root wrote it")
		}
	})
}

// secretNowhere searches everything that the person's runs left on the host,
// but for the file in which a login is kept.
func (p *person) secretNowhere(secrets ...string) {
	p.t.Helper()
	set := search.NewSet(secrets)
	err := filepath.WalkDir(p.state, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() && entry.Name() != "secrets.json" {
			err = set.InFile(path, math.MaxInt64, func(i int) { p.t.Errorf("%s holds a part of a secret (form %d)", path, i) })
		}
		if os.IsNotExist(err) { // it is at work
			return nil
		}
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
}
