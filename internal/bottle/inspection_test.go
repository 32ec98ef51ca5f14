package bottle

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"claude-bottle/internal/ca"
	"claude-bottle/internal/environ"
	"claude-bottle/internal/policy"
	"claude-bottle/test/engine"
)

// someRoots are roots of a host: as many as a program wants to see.
func someRoots(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, name := range []string{"one", "two"} {
		pair, err := ca.New(name, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(pair.Certificate)
	}
	return all.String()
}

// TestProgramsTrustTheAuthority runs programs with the environment and the
// files that an inspecting bottle gets, against a server whose certificate the
// run's authority signed.
func TestProgramsTrustTheAuthority(t *testing.T) {
	spec := Spec{Egress: policy.Egress{Inspect: "always", Roots: someRoots(t)}}
	programsTrust(t, spec, func(i Inspection) ca.Pair { return i.CA })
}

// TestProgramsTrustRoots does so with those of a bottle that inspects nothing,
// and a server for which only the manifest's `ca` vouches.
func TestProgramsTrustRoots(t *testing.T) {
	pair, err := ca.New("a company", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	spec := Spec{Egress: policy.Egress{Roots: someRoots(t) + pair.Certificate}}
	programsTrust(t, spec, func(i Inspection) ca.Pair {
		if i.CA != (ca.Pair{}) {
			t.Error("it has an authority for nothing")
		}
		return pair
	})
}

// programsTrust runs programs against a server with a certificate of signer's.
func programsTrust(t *testing.T, spec Spec, signer func(Inspection) ca.Pair) {
	t.Helper()
	inspection, err := inspect(spec, "run1", func() (string, error) { return someRoots(t), nil })
	if err != nil {
		t.Fatal(err)
	}
	etc := t.TempDir()
	for _, file := range inspection.Files {
		path := filepath.Join(etc, file.Path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, path, string(file.Data))
		if strings.Contains(string(file.Data), "PRIVATE KEY") {
			t.Fatalf("%s holds the key", file.Path)
		}
	}
	var env []string
	for _, entry := range rootsSetup(spec.Egress.Roots, spec.Egress.Inspects(), nil) {
		env = append(env, entry.Name+"="+strings.ReplaceAll(entry.Value, EtcMount+"/", etc+"/"))
	}

	issuer, err := ca.NewIssuer(signer(inspection))
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := issuer.Leaf("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
		head := strings.Repeat("a", 40) + " refs/trusted\x00\n"
		_, _ = fmt.Fprintf(w, "001e# service=git-upload-pack\n0000%04x%s0000", len(head)+4, head)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{*leaf}}
	server.StartTLS()
	t.Cleanup(server.Close)

	// Programs that know no variable look here; see bundles.
	bundle := filepath.Join(etc, bundles[0])
	java := filepath.Join(t.TempDir(), "Get.java")
	write(t, java, `import java.net.*;
public class Get { public static void main(String[] a) throws Exception {
  System.out.println(new String(new URL(a[0]).openStream().readAllBytes()));
} }`)
	for name, argv := range map[string][]string{
		"curl":     {"curl", "-sS", server.URL},
		"wget":     {"wget", "-qO-", "--ca-certificate=" + bundle, server.URL},
		"git":      {"git", "ls-remote", server.URL + "/x.git"},
		"python":   {"python3", "-c", "import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode())", server.URL},
		"requests": {"python3", "-c", "import sys, requests; print(requests.get(sys.argv[1]).text)", server.URL},
		"pip":      {"python3", "-c", "import sys; from pip._vendor import requests; import os; print(requests.get(sys.argv[1], verify=os.environ['PIP_CERT']).text)", server.URL},
		"node":     {"node", "-e", "fetch(process.argv[1]).then(r => r.text()).then(console.log)", server.URL},
		"openssl":  {"sh", "-c", "echo | openssl s_client -verify_return_error -CAfile " + bundle + " -connect $0 && echo trusted", strings.TrimPrefix(server.URL, "https://")},
		"java":     {"java", java, server.URL},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runTrusting(t, argv, env, etc)
		})
	}
	t.Run("go", func(t *testing.T) {
		runTrusting(t, []string{os.Args[0], "-test.run=^TestGoTrustsRoots$", "-test.v"}, append(env, "BOTTLE_TEST_URL="+server.URL, "WANT=PASS"), etc)
	})
}

// runTrusting runs a program without env, where it must trust nobody, and
// with it.
func runTrusting(t *testing.T, argv, env []string, etc string) {
	t.Helper()
	engine.Tool(t, argv[0])
	want := "trusted"
	bare := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "GIT_CONFIG_NOSYSTEM=1", "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1"}
	run := func(env []string) string {
		cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
		cmd.Env = env
		out, _ := cmd.CombinedOutput()
		return string(out)
	}
	for _, entry := range env {
		if value, ok := strings.CutPrefix(entry, "WANT="); ok {
			want = value
		}
		if strings.HasPrefix(entry, "BOTTLE_TEST_URL=") {
			bare = append(bare, entry)
		}
	}
	out := run(append(bare, env...))
	if strings.Contains(out, "No module named") {
		engine.Missing(t, engine.PartTools, out)
	}
	if !strings.Contains(out, want) {
		t.Errorf("it does not trust the authority: %s", out)
	}
	if named := strings.Contains(strings.Join(argv, " "), etc); !named && want == "trusted" {
		if out := run(bare); strings.Contains(out, want) {
			t.Errorf("it trusts any certificate: %s", out)
		}
	}
}

// TestJavaReadsTheStore has Java's own tool read it, with the digest checked.
func TestJavaReadsTheStore(t *testing.T) {
	engine.Tool(t, "keytool")
	roots := someRoots(t)
	store, err := javaTrustStore(roots, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "store")
	write(t, path, string(store))
	out, err := exec.CommandContext(t.Context(), "keytool", "-list", "-rfc", "-keystore", path, "-storetype", "JKS", "-storepass", "changeit").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want, got := decodePEM([]byte(roots)), decodePEM(out)
	if len(got) != len(want) || string(got[0]) != string(want[0]) {
		t.Errorf("it reads %d certificates:\n%s", len(got), out)
	}
}

func TestHostRoots(t *testing.T) {
	roots := someRoots(t)
	debian, fedora := "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"
	huge := strings.Repeat(roots, 1+maxHostRoots/len(roots))
	for name, tt := range map[string]struct {
		named string
		files map[string]string
		want  string // of the result, or of the error
	}{
		"debian":         {"", map[string]string{debian: roots, fedora: "x"}, roots},
		"fedora":         {"", map[string]string{fedora: roots}, roots},
		"with comments":  {"", map[string]string{debian: "# one\n" + roots + "# end\n"}, roots},
		"named":          {"/mine", map[string]string{"/mine": roots, debian: "x"}, roots},
		"named, missing": {"/mine", map[string]string{debian: roots}, "no bundle of CA certificates"},
		"none":           {"", nil, "no bundle of CA certificates"},
		"empty":          {"", map[string]string{debian: "\n"}, "no bundle of CA certificates"},
		"a key in it": {"", map[string]string{debian: roots + string(pem.EncodeToMemory(
			&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}))}, roots},
		"too many": {"", map[string]string{debian: huge}, "at most 640 fit"},
	} {
		got, err := hostRoots(func(string) string { return tt.named }, func(path string) ([]byte, error) {
			if data, ok := tt.files[path]; ok {
				return []byte(data), nil
			}
			return nil, fs.ErrNotExist
		})
		if err != nil {
			got = err.Error()
		}
		if got != tt.want && (err == nil || !strings.Contains(got, tt.want)) {
			t.Errorf("%s: %.80q", name, got)
		}
	}
}

// A bottle that inspects nothing has no authority and no other files; one
// whose host has no roots is not launched.
func TestInspectOnlyWhereAsked(t *testing.T) {
	never := func() (string, error) { return "", errNoHostRoots }
	if got, err := inspect(Spec{}, "run1", never); err != nil || got.CA != (ca.Pair{}) || got.Files != nil {
		t.Errorf("%+v, %v", got, err)
	}
	for _, egress := range []policy.Egress{{Inspect: "always"}, {Roots: someRoots(t)}} {
		if _, err := inspect(Spec{Egress: egress}, "run1", never); !errors.Is(err, errNoHostRoots) {
			t.Errorf("%v without the host's roots: %v", egress.Inspect, err)
		}
	}
	own := []environ.Entry{{Name: "CURL_CA_BUNDLE", Kind: environ.Literal, Value: "/mine"}}
	added := rootsSetup("", true, own)
	if hasEntry(added, "CURL_CA_BUNDLE") || !hasEntry(added, "JAVA_TOOL_OPTIONS") {
		t.Errorf("added: %v", envNames(added))
	}
}
