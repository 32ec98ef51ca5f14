package gateway

import (
	"io"
	"net/http"
	"testing"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/broker"
	"claude-bottle/internal/policy"
)

// BenchmarkRequests measures a small request through a kept connection, of a
// client and an origin in the same process: spliced, and inspected with each
// version of HTTP, and with a secret that is put in. cpu-µs/op is of all three.
func BenchmarkRequests(b *testing.B) {
	n := newNotary(b)
	for _, mode := range []struct {
		name, version string
		policy        policy.Egress
		brokered      bool
	}{
		{"spliced h1", protoHTTP1, allow("a.example"), false},
		{"inspected h1", protoHTTP1, everything("a.example"), false},
		{"brokered h1", protoHTTP1, everything("a.example"), true},
		{"spliced h2", protoHTTP2, allow("a.example"), false},
		{"inspected h2", protoHTTP2, everything("a.example"), false},
		{"brokered h2", protoHTTP2, everything("a.example"), true},
	} {
		b.Run(mode.name, func(b *testing.B) {
			w := newWorld()
			w.host("a.example", 443, secureOrigin(b, n.sign("a.example"), func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, "small")
			}))
			with, authority := inspecting(b, n.pem())
			s := secretFor(b, policy.Secret{Name: "TOKEN", Hosts: []string{"a.example"}, Paths: []string{"/x"}})
			hold := func(srv *server) {
				var err error
				if srv.broker, err = newBroker([]policy.Secret{s.Entry}, []broker.Secret{s}); err != nil {
					b.Fatal(err)
				}
			}
			if mode.brokered {
				mode.policy.Secrets = []policy.Secret{s.Entry}
			} else {
				hold = func(*server) {}
			}
			f := inspectedBy(start(b, w, mode.policy, with, hold), n, authority)
			f.roots.AddCert(n.cert)
			client := f.speak(mode.version)
			get := func() {
				request, err := http.NewRequest("GET", "https://a.example/x", nil) //nolint:noctx // ended by the benchmark
				if err != nil {
					b.Fatal(err)
				}
				bearer(s.Placeholder)(request)
				answer, err := client.Do(request)
				if err != nil || answer.StatusCode != http.StatusOK {
					b.Fatal(err, answer)
				}
				_, _ = io.Copy(io.Discard, answer.Body)
				answer.Body.Close()
			}
			get()
			before := cpuTime(b)
			for b.Loop() {
				get()
			}
			b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N)/1e3, "cpu-µs/op")
		})
	}
}

// cpuTime is what this process used so far, in nanoseconds.
func cpuTime(b *testing.B) int64 {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}
