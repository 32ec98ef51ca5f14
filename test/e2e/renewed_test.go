package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// An agent whose login has expired goes on working: the gateway renews it
// before the first request, and what it got is kept for the next run.
func TestNativeRenewsTheLogin(t *testing.T) {
	p := newNativePerson(t)
	login := func(n int) (token, refresh string) {
		return fmt.Sprintf("sk-ant-oat01-login%dlogin%dlogin%dlogin%dlogin%d", n, n, n, n, n), fmt.Sprintf("sk-ant-ort01-refresh%drefresh%drefresh%d", n, n, n)
	}
	var mu sync.Mutex
	renewals := 0
	p.server.Renew = func(refresh string) (string, string) {
		mu.Lock()
		defer mu.Unlock()
		if _, want := login(renewals); refresh != want {
			return "", ""
		}
		renewals++
		return login(renewals)
	}
	p.env = slices.DeleteFunc(p.env, func(v string) bool { return strings.Contains(v, "TOKEN") })
	token, refresh := login(0)
	keep := p.command("login", "--file")
	keep.Stdin = strings.NewReader(fmt.Sprintf(`{"claudeAiOauth": {"accessToken": %q, "refreshToken": %q, "expiresAt": %d}}`,
		token, refresh, time.Now().Add(-time.Hour).UnixMilli()))
	if out, err := keep.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for run := range 2 {
		before := len(p.server.Requests())
		got := p.run("start", "native", "--platform", "native", "--yes", "--prompt", "good day")
		if want := "Hello from the local Messages API. You said: good day\n"; got.code != 0 || got.stdout != want {
			t.Fatalf("run %d: code %d, stdout %q\n%s", run, got.code, got.stdout, got.stderr)
		}
		second, _ := login(1)
		answered := false
		for _, r := range p.server.Requests()[before:] {
			if r.Bearer != "" && r.Bearer != second {
				t.Errorf("run %d: %s %s came with %q", run, r.Method, r.Path, r.Bearer)
			}
			answered = answered || r.Path == "/v1/messages" && r.Bearer == second
		}
		if !answered {
			t.Errorf("run %d: no request for an answer came with the renewed token", run)
		}
	}
	if mu.Lock(); renewals != 1 {
		t.Errorf("%d renewals", renewals)
	}
	mu.Unlock()
	// What is kept is the last login, in the file for its owner alone; the
	// runs and their records have none of it.
	files, err := filepath.Glob(filepath.Join(p.state, "claude-bottle", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	kept := false
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, next := login(1)
		kept = kept || strings.Contains(string(data), next)
		if strings.Contains(string(data), refresh) {
			t.Errorf("%s has the former login", file)
		}
	}
	if !kept {
		t.Error("the renewed login is not kept")
	}
	err = filepath.WalkDir(filepath.Join(p.state, "claude-bottle", "runs"), func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if strings.Contains(string(data), "refresh1") || strings.Contains(string(data), "login1login1") {
			t.Errorf("%s holds a login", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
