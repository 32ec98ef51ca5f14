// Command pipelock stands in for the gateway of that name where its image
// cannot be had: it takes the same arguments and the same configuration, which
// it reads strictly, and decides by names as that does. What it says goes to
// its standard error.
//
// For tests it can be wrong: -refuse ends it at once, -everywhere has it
// listen on all addresses, -open lets every CONNECT through without dialling.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

type configuration struct {
	Version      int      `yaml:"version"`
	Mode         string   `yaml:"mode"`
	Enforce      bool     `yaml:"enforce"`
	Allowlist    []string `yaml:"api_allowlist"`
	ForwardProxy struct {
		Enabled bool `yaml:"enabled"`
	} `yaml:"forward_proxy"`
	DLP struct {
		Defaults bool `yaml:"include_defaults"`
		Env      bool `yaml:"scan_env"`
	} `yaml:"dlp"`
	Trusted []string `yaml:"trusted_domains"`
	SSRF    struct {
		Allowlist []netip.Prefix `yaml:"ip_allowlist"`
	} `yaml:"ssrf"`
}

func main() {
	log.SetFlags(0)
	refuse := flag.Bool("refuse", false, "end at once")
	everywhere := flag.Bool("everywhere", false, "listen on all addresses")
	open := flag.Bool("open", false, "let every CONNECT through")
	flag.Parse()
	if *refuse {
		log.Fatal("pipelock: refused to start, as the test wants it")
	}
	if flag.Arg(0) != "run" {
		log.Fatalf("pipelock: unknown command %q", flag.Arg(0))
	}
	run := flag.NewFlagSet("run", flag.ExitOnError)
	path := run.String("config", "", "")
	listen := run.String("listen", "", "")
	_ = run.Parse(flag.Args()[1:])
	config, err := read(*path)
	if err != nil {
		log.Fatalf("pipelock: %v", err)
	}
	if *everywhere {
		_, port, _ := net.SplitHostPort(*listen)
		*listen = ":" + port
	}
	server := http.Server{Addr: *listen, Handler: &proxy{config, *open}, ReadHeaderTimeout: time.Minute}
	log.Fatalf("pipelock: %v", server.ListenAndServe())
}

// read takes what the real one takes, and no key more.
func read(path string) (config configuration, err error) {
	file, err := os.Open(path)
	if err != nil {
		return config, err
	}
	defer file.Close()
	decoder := yaml.NewDecoder(file)
	decoder.KnownFields(true)
	if err := decoder.Decode(&config); err != nil {
		return config, err
	}
	if config.Version != 1 || config.Mode != "strict" || !config.Enforce || !config.ForwardProxy.Enabled ||
		!config.DLP.Defaults || !config.DLP.Env {
		return config, fmt.Errorf("%s is not what the existing tool writes: %+v", path, config)
	}
	return config, nil
}

type proxy struct {
	configuration
	open bool
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodConnect && p.open:
		w.WriteHeader(http.StatusOK)
	case r.Method == http.MethodConnect:
		p.tunnel(w, r)
	case r.URL.IsAbs():
		p.forward(w, r)
	case r.URL.Path == "/health":
		fmt.Fprintln(w, `{"status":"healthy"}`)
	default:
		http.NotFound(w, r)
	}
}

func (p *proxy) tunnel(w http.ResponseWriter, r *http.Request) {
	upstream, err := p.dial(r.Context(), r.Host)
	if err != nil {
		p.block(w, r.Host, err)
		return
	}
	defer upstream.Close()
	w.WriteHeader(http.StatusOK)
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer client.Close()
	go func() { _, _ = io.Copy(upstream, buffered) }()
	_, _ = io.Copy(client, upstream)
}

func (p *proxy) forward(w http.ResponseWriter, r *http.Request) {
	host := r.URL.Host
	if r.URL.Port() == "" {
		host += ":80"
	}
	upstream, err := p.dial(r.Context(), host)
	if err != nil {
		p.block(w, host, err)
		return
	}
	defer upstream.Close()
	transport := http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return upstream, nil }}
	r.RequestURI = ""
	response, err := transport.RoundTrip(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer response.Body.Close()
	w.WriteHeader(response.StatusCode)
	_, _ = io.Copy(w, response.Body)
}

func (p *proxy) block(w http.ResponseWriter, host string, why error) {
	log.Printf("blocked %s: %v", host, why)
	http.Error(w, "blocked: "+why.Error(), http.StatusForbidden)
}

// dial looks nothing up that is not allowed.
func (p *proxy) dial(ctx context.Context, at string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(at)
	if err != nil {
		return nil, err
	}
	if !p.allows(strings.ToLower(host)) {
		return nil, fmt.Errorf("%s is not in api_allowlist", host)
	}
	addresses, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return nil, err
	}
	address, err := netip.ParseAddr(addresses[0])
	if err != nil {
		return nil, err
	}
	if address.IsPrivate() || address.IsLoopback() || address.IsLinkLocalUnicast() {
		if !p.exempt(address) {
			return nil, fmt.Errorf("%s is at %s, which is internal", host, address)
		}
	}
	return (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", net.JoinHostPort(address.String(), port))
}

func (p *proxy) allows(host string) bool {
	for _, allowed := range p.Allowlist {
		apex, wildcard := strings.CutPrefix(allowed, "*.")
		if host == apex || wildcard && strings.HasSuffix(host, "."+apex) {
			return true
		}
	}
	return false
}

func (p *proxy) exempt(address netip.Addr) bool {
	for _, prefix := range p.SSRF.Allowlist {
		if prefix.Contains(address) {
			return true
		}
	}
	return false
}
