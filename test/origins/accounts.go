package origins

import (
	"cmp"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"claude-bottle/internal/ca"
)

// The names of servers with accounts. Those that programs insist on are the
// real ones', and are nobody's but this machine's where Accounts.Resolve says so.
const (
	Bearer = "bearer.account.test"
	Header = "header.account.test"
	Query  = "query.account.test"
	Basic  = "basic.account.test"
	Git    = "git.account.test"
	GitHub = "api.github.com"
	Npm    = "npm.account.test"
	Index  = "pypi.account.test"
	Upload = "upload.account.test"
	Image  = "images.account.test"
	Dynamo = "dynamodb.eu-west-1.amazonaws.com"
	S3     = "acme.s3.eu-west-1.amazonaws.com"
)

// The names of others that stand in for those of docs/secrets.md. The last is
// at port 8443 too.
const (
	GitHubWeb  = "github.com"
	NpmExample = "npm.example.com"
	PyPIUpload = "upload.pypi.org"
	Tracker    = "tracker.corp.example"
)

// StandIns are all names that are not this machine's own.
func StandIns() []string {
	return []string{GitHub, GitHubWeb, NpmExample, PyPIUpload, Tracker, Dynamo, S3}
}

// Accounts are servers that serve who brings the right credential, and note
// each request that came with another one or with none.
type Accounts struct {
	// Address is where all of them are.
	Address netip.AddrPort
	// Roots is what their certificates hang on, PEM.
	Roots string
	// Values are the credentials, by server; of AWS's servers Key is it.
	Values map[string]string
	Key    AWSKey

	serve func(net.Listener)

	mu      sync.Mutex // guards what follows
	refused []string
	served  map[string]int
}

// StartAccounts serves until the test ends, at an address of loopback.
func StartAccounts(t testing.TB) *Accounts {
	t.Helper()
	return ServeAccounts(t, listen(t))
}

// ServeAccounts serves until the test ends.
func ServeAccounts(t testing.TB, listener net.Listener) *Accounts {
	t.Helper()
	pair, err := ca.New("accounts", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := ca.NewIssuer(pair)
	if err != nil {
		t.Fatal(err)
	}
	a := &Accounts{
		Address: netip.MustParseAddrPort(listener.Addr().String()), Roots: pair.Certificate, Values: map[string]string{}, served: map[string]int{},
		Key: AWSKey{ID: "AKIA" + rand.Text()[:16], Secret: rand.Text() + rand.Text()[:14], Token: rand.Text() + rand.Text()},
	}
	sites := a.sites(t)
	a.serve = func(listener net.Listener) {
		serve(t, listener, issuer, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			host, _, _ := strings.Cut(r.Host, ":")
			if site := sites[host]; site != nil {
				site(w, r)
				return
			}
			http.Error(w, "no such site", http.StatusNotFound)
		}))
	}
	a.serve(listener)
	return a
}

// Also serves at another port of the same address.
func (a *Accounts) Also(t testing.TB, port uint16) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", netip.AddrPortFrom(a.Address.Addr(), port).String())
	if err != nil {
		t.Fatal(err)
	}
	a.serve(listener)
}

// sites are the servers, each with its check.
func (a *Accounts) sites(t testing.TB) map[string]http.HandlerFunc {
	t.Helper()
	welcome := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%s %s, welcome\n", r.Method, r.URL.Path)
	})
	github := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"login": "acme", "path": %q}`, r.URL.Path)
	})
	repository := Repository(t, t.TempDir())
	sites := map[string]http.HandlerFunc{
		Dynamo: a.signed(`{"TableNames": ["table-of-acme"]}`), S3: a.signed(""),
	}
	for name, site := range map[string]struct {
		credential func(*http.Request) string
		serve      http.Handler
		like       string // whose account it is; empty for its own
	}{
		Bearer:     {afterScheme, welcome, ""},
		Header:     {apiKey, welcome, ""},
		Query:      {func(r *http.Request) string { return r.URL.Query().Get("appid") }, welcome, ""},
		Basic:      {password, welcome, ""},
		Git:        {password, repository, ""},
		GitHub:     {afterScheme, github, ""},
		Npm:        {afterScheme, Publishing(), ""},
		Index:      {password, PrivateIndex(t), ""},
		Upload:     {password, welcome, ""},
		Image:      {password, Images(t), ""},
		GitHubWeb:  {password, below("/acme/", "/git/", repository), GitHub},
		NpmExample: {afterScheme, Publishing(), Npm},
		PyPIUpload: {password, welcome, Upload},
		Tracker:    {apiKey, welcome, Header},
	} {
		account := cmp.Or(site.like, name)
		if a.Values[account] == "" {
			a.Values[account] = "ghp_" + rand.Text() + rand.Text()[:10]
		}
		a.Values[name] = a.Values[account]
		sites[name] = a.wants(name, site.credential, site.serve)
	}
	return sites
}

// below serves what is below one directory as if it were below another.
func below(from, to string, handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner := r.Clone(r.Context())
		inner.URL.Path = to + strings.TrimPrefix(r.URL.Path, from)
		handler.ServeHTTP(w, inner)
	})
}

func apiKey(r *http.Request) string { return r.Header.Get("X-Api-Key") }

func afterScheme(r *http.Request) string {
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return token
}

func password(r *http.Request) string {
	_, password, _ := r.BasicAuth()
	return password
}

// wants serves whoever brings the value of a server.
func (a *Accounts) wants(name string, credential func(*http.Request) string, serve http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		got := credential(r)
		if got != a.Values[name] {
			a.refuse(w, r, http.StatusUnauthorized, fmt.Sprintf("it came with %q", got))
			return
		}
		a.note(name)
		serve.ServeHTTP(w, r)
	}
}

// signed answers whoever signs with the key.
func (a *Accounts) signed(answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if err := a.Key.Signed(r, body); err != nil {
			a.refuse(w, r, http.StatusForbidden, err.Error())
			return
		}
		a.note(r.Host)
		_, _ = io.WriteString(w, answer)
	}
}

func (a *Accounts) note(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.served[name]++
}

func (a *Accounts) refuse(w http.ResponseWriter, r *http.Request, status int, why string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refused = append(a.refused, fmt.Sprintf("%s %s%s: %s", r.Method, r.Host, r.URL.Path, why))
	w.Header().Set("WWW-Authenticate", `Basic realm="account"`)
	http.Error(w, "nobody is known by this", status)
}

// Saw is how many requests each server took, and what each that it did not
// take was, since Saw was called last.
func (a *Accounts) Saw() (served map[string]int, refused []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	served, refused = a.served, a.refused
	a.served, a.refused = map[string]int{}, nil
	return served, refused
}

// Secrets are all that a bottle must not hold.
func (a *Accounts) Secrets() []string {
	all := []string{a.Key.ID, a.Key.Secret, a.Key.Token}
	for _, value := range a.Values {
		if !slices.Contains(all, value) {
			all = append(all, value)
		}
	}
	return all
}

// Egress is what a manifest says of servers under `egress`, their roots being
// in roots.pem beside it, indented by six.
func (a *Accounts) Egress(names ...string) string {
	var resolve []string
	for _, name := range names {
		resolve = append(resolve, name+": "+a.Address.Addr().String())
	}
	var allow []string
	for _, name := range names {
		allow = append(allow, `"`+a.At(name)+`"`)
	}
	return fmt.Sprintf("      ca: roots.pem\n      allowlist: [%s]\n      resolve: {%s}\n      private: [%s/32]\n",
		strings.Join(allow, ", "), strings.Join(resolve, ", "), a.Address.Addr())
}

// At is a server as URLs and manifests have it: with its port where that is not
// 443.
func (a *Accounts) At(name string) string {
	if a.Address.Port() == 443 {
		return name
	}
	return fmt.Sprintf("%s:%d", name, a.Address.Port())
}

// serve answers at a listener, under every name, until the test ends.
func serve(t testing.TB, listener net.Listener, issuer *ca.Issuer, handler http.Handler) {
	t.Helper()
	server := &http.Server{
		ReadHeaderTimeout: time.Minute, Handler: handler,
		ErrorLog: log.New(io.Discard, "", 0), // what clients do not trust, they say themselves
		TLSConfig: &tls.Config{
			MinVersion: tls.VersionTLS12,
			GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
				return issuer.Leaf(hello.ServerName)
			},
		},
	}
	served := make(chan error, 1)
	go func() { served <- server.ServeTLS(listener, "", "") }()
	t.Cleanup(func() {
		server.Close()
		if err := <-served; err != http.ErrServerClosed { //nolint:errorlint // as it is
			t.Error(err)
		}
	})
}
