package gateway

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"claude-bottle/internal/audit"
)

// typical is a request's head as clients of APIs send them.
var typical = fields{
	{"Host", "a.example"},
	{"User-Agent", "claude-cli/2.1.330 (external, cli)"},
	{"Accept", "application/json"},
	{"Authorization", "Bearer " + strings.Repeat("A", 8) + shop},
	{"Content-Type", "application/json"},
	{"Content-Length", "512"},
	{"X-Request-Id", "5f1c8c6e-9b1d-4c47-9a0e-0c6b8a3f4e21"},
	{"Accept-Encoding", "gzip, br, zstd"},
	{"Accept-Language", "en-GB,en;q=0.5"},
	{"Connection", "keep-alive"},
}

// BenchmarkHead measures the look at one head, and BenchmarkLine that at one
// line of the record.
func BenchmarkHead(b *testing.B) {
	f := lookWorld(b, scanned("", "a.example"))
	for b.Loop() {
		if _, refused := f.server.watch.head("POST", "/v1/messages?beta=true", typical); refused != nil {
			b.Fatal(refused)
		}
	}
}

func BenchmarkLine(b *testing.B) {
	f := lookWorld(b, scanned("", "a.example"))
	e := audit.Event{Host: "api.a.example", Method: "POST", Path: "/v1/messages/batches", Reason: "api.a.example is on the allowlist"}
	for b.Loop() {
		if err := f.server.watch.scrub(&e); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPosts measures bodies on their way up, of a client and an origin in
// the same process: of 2 KB and of 8 MB, plain and inspected, looked at for
// three values and the table.
func BenchmarkPosts(b *testing.B) {
	text := strings.Repeat("func main() { fmt.Println(\"hello, world\") } // some source code, as agents send it\n", 1+(8<<20)/80)
	for _, size := range []struct {
		name string
		n    int
	}{{"2KB", 2 << 10}, {"8MB", 8 << 20}} {
		for _, way := range []string{"plain", "inspected", "h2"} {
			b.Run(way+" "+size.name, func(b *testing.B) {
				f := lookWorld(b, scanned("", "a.example"))
				plain := func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }
				f.serve(f.w, "a.example", plain)
				f.w.host("a.example", 80, originServer(b, plain))
				by := f.ways[way]
				post := func() {
					answer, err := by.client.Post(by.base+"/", "text/plain", strings.NewReader(text[:size.n])) //nolint:noctx // ended by the benchmark
					if err != nil || answer.StatusCode != 200 {
						b.Fatal(answer, err)
					}
					_, _ = io.Copy(io.Discard, answer.Body)
					answer.Body.Close()
				}
				post()
				b.SetBytes(int64(size.n))
				before := cpuTime(b)
				for b.Loop() {
					post()
				}
				b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N)/1e3, "cpu-µs/op")
			})
		}
	}
}
