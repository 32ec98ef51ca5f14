package origins

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"claude-bottle/test/engine"
)

// GRPCProgram is server and client, for GRPCPython.
//
//go:embed grpcecho.py
var GRPCProgram string

// GRPCPython is the interpreter that has Debian's gRPC.
const GRPCPython = "/usr/bin/python3"

// GRPCSaid is what the client prints where everything works.
const GRPCSaid = `unary 3000000 and end
down 200 True
both ONE TWO THREE both
fail FAILED_PRECONDITION 'not today: \u2603' failed
stay here
`

// GRPCServer is one that runs until the test ends.
type GRPCServer struct {
	Port string
	said *bufio.Reader
}

// Said is the next line that the server says.
func (s *GRPCServer) Said(t testing.TB) string {
	t.Helper()
	line, err := s.said.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// StartGRPC runs a real gRPC server at address, with that certificate.
func StartGRPC(t testing.TB, leaf tls.Certificate, address string) *GRPCServer {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), GRPCPython, "-c", "import grpc").CombinedOutput(); err != nil {
		engine.Missing(t, engine.PartTools, "python3-grpcio: "+string(out))
	}
	key, err := x509.MarshalPKCS8PrivateKey(leaf.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var chain strings.Builder
	for _, der := range leaf.Certificate {
		chain.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	certificate := write(t, dir, "certificate.pem", chain.String())
	secret := write(t, dir, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	cmd := exec.CommandContext(t.Context(), GRPCPython, "-B", write(t, dir, "grpcecho.py", GRPCProgram), "serve", address, certificate, secret)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait() // the test's end may have killed it
	})
	s := &GRPCServer{said: bufio.NewReader(out)}
	s.Port = s.Said(t)
	return s
}

// CallGRPC is the command of a client, whose program is in dir afterwards: its
// mode, and what that takes.
func CallGRPC(t testing.TB, dir string, args ...string) *exec.Cmd {
	t.Helper()
	write(t, dir, "grpcecho.py", GRPCProgram)
	return exec.CommandContext(t.Context(), GRPCPython, append([]string{"-B", filepath.Join(dir, "grpcecho.py")}, args...)...)
}
