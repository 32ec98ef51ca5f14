package scan

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"go/build"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// usual is what a run looks for: a few secrets and the table.
func usual(b testing.TB) *Scanner {
	r := rand.New(rand.NewPCG(3, 4))
	o := Options{Rows: Table()}
	for i, n := range []int{40, 51, 108} {
		o.Values = append(o.Values, Value{Name: fmt.Sprint(i), Kind: Secret, Bytes: []byte(randomText(r, n))})
	}
	return scanner(b, o)
}

// source is Go source, some 8 MB of the standard library's.
func source(b testing.TB) []byte {
	var all []byte
	for _, dir := range []string{"net/http", "go/types", "crypto/tls", "encoding/json", "reflect", "runtime", "os", "math/big"} {
		files, err := filepath.Glob(filepath.Join(build.Default.GOROOT, "src", dir, "*.go"))
		if err != nil {
			b.Fatal(err)
		}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				b.Fatal(err)
			}
			all = append(all, text...)
		}
	}
	if len(all) < 1<<20 {
		b.Skip("no source of the standard library")
	}
	return all
}

func bulk() []byte {
	r := rand.NewChaCha8([32]byte{5})
	data := make([]byte, 8<<20)
	_, _ = r.Read(data)
	return data
}

func benchmark(b *testing.B, data []byte) {
	s := usual(b)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		t := s.Stream()
		for chunk := range slices.Chunk(data, 32<<10) {
			t.Write(chunk)
		}
		t.Close()
	}
}

func BenchmarkSource(b *testing.B) { benchmark(b, source(b)) }
func BenchmarkBulk(b *testing.B)   { benchmark(b, bulk()) }

// BenchmarkBase64 is bulk as a JSON body carries it.
func BenchmarkBase64(b *testing.B) {
	benchmark(b, base64.StdEncoding.AppendEncode(nil, bulk()))
}

// BenchmarkEscaped is source as a string of a JSON body, whose every line has
// escapes.
func BenchmarkEscaped(b *testing.B) {
	text, err := json.Marshal(string(source(b)))
	if err != nil {
		b.Fatal(err)
	}
	benchmark(b, text)
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		usual(b)
	}
}
