package origins

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha1" //nolint:gosec // G505: npm's oldest field
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// Module is what the Go proxy has: a program that says hello.
const Module = "hello.registry.test/hello"

// Package is what the other registries have, under their own rules of names.
const Package = "bottle-hello"

// files serves contents by path.
type files map[string][]byte

func (f files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	content, ok := f[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	http.ServeContent(w, r, r.URL.Path, noTime, bytes.NewReader(content))
}

// npmRegistry has Package, with a program of that name.
func npmRegistry(t testing.TB) http.Handler {
	t.Helper()
	manifest := map[string]any{"name": Package, "version": "1.0.0", "bin": map[string]string{Package: "hello.js"}}
	described, err := json.Marshal(manifest)
	if err != nil {
		t.Fatal(err)
	}
	archive := tarball(t, map[string]string{
		"package/package.json": string(described),
		"package/hello.js":     "#!/usr/bin/env node\nconsole.log('hello from npm')\n",
	})
	short, long := sha1.Sum(archive), sha512.Sum512(archive) //nolint:gosec // G401: see above
	path := "/" + Package + "/-/" + Package + "-1.0.0.tgz"
	manifest["dist"] = map[string]string{
		"tarball": "https://" + NPM + path, "shasum": hex.EncodeToString(short[:]),
		"integrity": "sha512-" + base64.StdEncoding.EncodeToString(long[:]),
	}
	packument, err := json.Marshal(map[string]any{
		"name": Package, "dist-tags": map[string]string{"latest": "1.0.0"}, "versions": map[string]any{"1.0.0": manifest},
	})
	if err != nil {
		t.Fatal(err)
	}
	return files{"/" + Package: packument, path: archive}
}

// pypiIndex has Package (PEP 503), as a wheel (PEP 427).
func pypiIndex(t testing.TB) http.Handler {
	t.Helper()
	const wheel, info = "bottle_hello-1.0.0-py3-none-any.whl", "bottle_hello-1.0.0.dist-info/"
	content := zipped(t, map[string]string{
		"bottle_hello.py":         "print('hello from pip')\n",
		info + "METADATA":         "Metadata-Version: 2.1\nName: bottle-hello\nVersion: 1.0.0\n",
		info + "WHEEL":            "Wheel-Version: 1.0\nGenerator: origins\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
		info + "RECORD":           "bottle_hello.py,,\n" + info + "METADATA,,\n" + info + "WHEEL,,\n" + info + "RECORD,,\n",
		info + "top_level.txt":    "bottle_hello\n",
		info + "entry_points.txt": "",
	})
	sum := sha256.Sum256(content)
	page := fmt.Sprintf("<!DOCTYPE html><html><body><a href=\"/files/%s#sha256=%s\">%s</a></body></html>", wheel, hex.EncodeToString(sum[:]), wheel)
	site := files{"/files/" + wheel: content}
	mux := http.NewServeMux()
	mux.Handle("/files/", site)
	mux.HandleFunc("/simple/"+Package+"/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, page)
	})
	return mux
}

// goProxy has Module (https://go.dev/ref/mod#goproxy-protocol).
func goProxy(t testing.TB) http.Handler {
	t.Helper()
	const root, mod = Module + "@v1.0.0/", "module " + Module + "\n\ngo 1.21\n"
	at := "/" + Module + "/@v/"
	return files{
		at + "list":        []byte("v1.0.0\n"),
		at + "v1.0.0.info": []byte(`{"Version":"v1.0.0","Time":"2026-01-02T03:04:05Z"}`),
		at + "v1.0.0.mod":  []byte(mod),
		at + "v1.0.0.zip": zipped(t, map[string]string{
			root + "go.mod":  mod,
			root + "main.go": "package main\n\nfunc main() { println(\"hello from go\") }\n",
		}),
	}
}

// crateRegistry has Package: a sparse index
// (https://doc.rust-lang.org/cargo/reference/registry-index.html) and the crate.
func crateRegistry(t testing.TB) http.Handler {
	t.Helper()
	const root = Package + "-1.0.0/"
	crate := tarball(t, map[string]string{
		root + "Cargo.toml": "[package]\nname = \"" + Package + "\"\nversion = \"1.0.0\"\n",
		root + "src/lib.rs": "// hello from cargo\n",
	})
	entry, err := json.Marshal(map[string]any{
		"name": Package, "vers": "1.0.0", "deps": []any{}, "features": map[string]any{}, "yanked": false,
		"cksum": fmt.Sprintf("%x", sha256.Sum256(crate)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return files{
		"/index/config.json": []byte(`{"dl": "https://` + Crates + `/crates/{crate}-{version}.crate", "api": "https://` + Crates + `"}`),
		"/index/" + Package[:2] + "/" + Package[2:4] + "/" + Package: append(entry, '\n'),
		"/crates/" + Package + "-1.0.0.crate":                        crate,
	}
}

// aptRepository has Package for every architecture, without a signature. It is
// built below dir.
func aptRepository(t testing.TB, dir string) http.Handler {
	t.Helper()
	const control = "Package: " + Package + "\nVersion: 1.0.0\nArchitecture: all\nMaintainer: nobody <nobody@registry.test>\nDescription: hello\n"
	root := filepath.Join(dir, "deb")
	write(t, root, "DEBIAN/control", control)
	write(t, root, "usr/share/"+Package, "hello from apt\n")
	file := filepath.Join(dir, "hello.deb")
	if out, err := exec.CommandContext(t.Context(), "dpkg-deb", "--build", "--root-owner-group", root, file).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const at, index = "pool/hello.deb", "main/binary-all/Packages"
	packages := fmt.Appendf(nil, "%sFilename: %s\nSize: %d\nSHA256: %x\n", control, at, len(content), sha256.Sum256(content))
	release := fmt.Appendf(nil, "Suite: stable\nCodename: stable\nArchitectures: all\nComponents: main\nDate: Fri, 02 Jan 2026 03:04:05 UTC\nSHA256:\n %x %d %s\n",
		sha256.Sum256(packages), len(packages), index)
	return files{"/dists/stable/Release": release, "/dists/stable/" + index: packages, "/" + at: content}
}

func tarball(t testing.TB, content map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	packed := gzip.NewWriter(&b)
	archive := tar.NewWriter(packed)
	for _, name := range slices.Sorted(maps.Keys(content)) {
		if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content[name]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(archive, content[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := packed.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zipped(t testing.TB, content map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	archive := zip.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(content)) {
		w, err := archive.Create(name)
		if err == nil {
			_, err = io.WriteString(w, content[name])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
