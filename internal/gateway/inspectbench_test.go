package gateway

import (
	"io"
	"net/http"
	"testing"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/policy"
)

// BenchmarkRequests measures a small request through a kept connection, of a
// client and an origin in the same process: spliced, and inspected with each
// version of HTTP. cpu-µs/op is of all three.
func BenchmarkRequests(b *testing.B) {
	n := newNotary(b)
	for _, mode := range []struct {
		name, version string
		policy        policy.Egress
	}{
		{"spliced h1", protoHTTP1, allow("a.example")},
		{"inspected h1", protoHTTP1, everything("a.example")},
		{"spliced h2", protoHTTP2, allow("a.example")},
		{"inspected h2", protoHTTP2, everything("a.example")},
	} {
		b.Run(mode.name, func(b *testing.B) {
			w := newWorld()
			w.host("a.example", 443, secureOrigin(b, n.sign("a.example"), func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, "small")
			}))
			with, authority := inspecting(b, n.pem())
			f := inspectedBy(start(b, w, mode.policy, with), n, authority)
			f.roots.AddCert(n.cert)
			client := f.speak(mode.version)
			get := func() {
				answer, err := client.Get("https://a.example/x") //nolint:noctx // ended by the benchmark
				if err != nil {
					b.Fatal(err)
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
