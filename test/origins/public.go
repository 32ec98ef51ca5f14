package origins

import (
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Names that clients know by themselves, and that presets have without a client
// to ask. They are served here, and resolve nowhere else.
const (
	Central  = "repo.maven.apache.org"
	Gems     = "rubygems.org"
	Forge    = "github.com"
	ForgeAPI = "api.github.com"
	Archives = "codeload.github.com"
)

// MavenPlugins is where Debian keeps what Maven itself works with.
const MavenPlugins = "/usr/share/maven-repo"

// AddPublic serves Package under those names, each as its client wants it.
func (o *Origins) AddPublic(t testing.TB) {
	t.Helper()
	dir := t.TempDir()
	o.Add(Central, mavenRepository(t))
	o.Add(Gems, gemServer(t, filepath.Join(dir, "gems")))
	o.Add(Forge, forge(t, dir))
	o.Add(ForgeAPI, files{"/repos/acme/hello": []byte(`{"full_name": "acme/hello", "description": "hello from the API"}`)})
	o.Add(Archives, files{"/acme/hello/tar.gz/main": tarball(t, map[string]string{"hello-main/hello": "hello from the archive\n"})})
}

// AddNothing has a name lead here, where there is nothing of it, unless it is
// served.
func (o *Origins) AddNothing(name string) {
	o.mu.Lock()
	_, served := o.sites[name]
	o.mu.Unlock()
	if !served {
		o.Add(name, http.NotFoundHandler())
	}
}

// mavenRepository has Package, a pom that others have for a parent, and what
// Debian has of Maven's own parts
// (https://maven.apache.org/repository/layout.html).
func mavenRepository(t testing.TB) http.Handler {
	t.Helper()
	const at = "/maven2/test/registry/" + Package + "/1.0.0/" + Package + "-1.0.0"
	pom := func(name, packaging, more string) []byte {
		return []byte(`<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>` +
			`<groupId>test.registry</groupId><artifactId>` + name + `</artifactId><version>1.0.0</version><packaging>` + packaging + `</packaging>` + more + `</project>`)
	}
	// Who names no version of it gets one that Debian does not have.
	const utils = "<dependencies><dependency><groupId>org.codehaus.plexus</groupId><artifactId>plexus-utils</artifactId><version>debian</version></dependency></dependencies>"
	site := files{
		at + ".pom": pom(Package, "jar", utils),
		at + ".jar": zipped(t, map[string]string{"META-INF/MANIFEST.MF": "Manifest-Version: 1.0\n", "hello": "hello from maven\n"}),
		"/maven2/test/registry/parent/1.0.0/parent-1.0.0.pom": pom("parent", "pom", ""),
	}
	mux := http.NewServeMux()
	mux.Handle("/maven2/test/registry/", site)
	mux.Handle("/maven2/", http.StripPrefix("/maven2", http.FileServer(http.Dir(MavenPlugins))))
	return mux
}

// gemServer has Package as `gem build` makes it and an index as `gem
// generate_index` does.
func gemServer(t testing.TB, dir string) http.Handler {
	t.Helper()
	write(t, dir, "lib/hello.rb", "puts 'hello from gem'\n")
	write(t, dir, "hello.gemspec", `Gem::Specification.new do |s|
  s.name, s.version, s.summary, s.authors, s.files = "`+Package+`", "1.0.0", "hello", ["nobody"], ["lib/hello.rb"]
  s.homepage, s.license = "https://web.registry.test", "MIT"
end
`)
	const script = `set -e; cd "$0"; mkdir -p site/gems; gem build -q hello.gemspec -o site/gems/bottle-hello-1.0.0.gem; gem generate_index -q -d site`
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script, dir)
	cmd.Env = append(os.Environ(), "HOME="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return http.FileServer(http.Dir(filepath.Join(dir, "site")))
}

// forge has a repository by git's own protocol and its archive elsewhere.
func forge(t testing.TB, dir string) http.Handler {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/git/", Repository(t, dir))
	mux.HandleFunc("GET /acme/hello/archive/main.tar.gz", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://"+Archives+"/acme/hello/tar.gz/main", http.StatusFound)
	})
	return mux
}

// AddMirror serves the repository of apt under a name, over HTTP where it is
// plain, and returns its URL.
func (o *Origins) AddMirror(t testing.TB, name string, plain bool) string {
	t.Helper()
	o.Add(name, aptRepository(t, t.TempDir()))
	if !plain {
		return "https://" + name
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", netip.AddrPortFrom(o.Address, 80).String())
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: o, ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-served; err != http.ErrServerClosed { //nolint:errorlint // as it is
			t.Error(err)
		}
	})
	return "http://" + name
}
