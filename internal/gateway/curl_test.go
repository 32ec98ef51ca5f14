package gateway

import (
	"os/exec"
	"strings"
	"testing"

	"claude-bottle/test/engine"
)

func TestCurl(t *testing.T) {
	curl := engine.Tool(t, "curl")
	w := newWorld()
	cert, _ := certificate(t, "tls.example")
	w.host("a.example", 80, originServer(t, echo))
	w.host("tls.example", 443, tlsOrigin(t, cert))
	f := start(t, w, allow("a.example", "tls.example"))
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"http":            {[]string{"http://a.example/x"}, `GET a.example /x ""`},
		"post":            {[]string{"-d", "abc", "http://a.example/x"}, `POST a.example /x "abc"`},
		"chunked":         {[]string{"-H", "Transfer-Encoding: chunked", "-d", "abc", "http://a.example/x"}, `POST a.example /x "abc"`},
		"http 1.0":        {[]string{"-0", "http://a.example/x"}, `GET a.example /x ""`},
		"http in CONNECT": {[]string{"-p", "http://a.example/x"}, `GET a.example /x ""`},
		"https":           {[]string{"-k", "https://tls.example/x"}, `GET tls.example /x ""`},
		"two":             {[]string{"http://a.example/1", "http://a.example/2"}, `GET a.example /1 ""GET a.example /2 ""`},
		"refused":         {[]string{"http://evil.example/"}, "claude-bottle refused this: evil.example is not on the allowlist"},
	} {
		args := append([]string{"-sS", "--max-time", "10", "--noproxy", "", "-x", "http://" + f.proxy}, tt.args...)
		out, err := exec.CommandContext(t.Context(), curl, args...).CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), tt.want) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	out, err := exec.CommandContext(t.Context(), curl, "-sS", "-k", "--max-time", "10", "-x", "http://"+f.proxy, "https://evil.example/").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "403") {
		t.Errorf("refused CONNECT: %v %s", err, out)
	}
	out, err = exec.CommandContext(t.Context(), curl, "-sS", "-k", "--max-time", "10", "--connect-to", "evil.example:443:"+f.tls, "https://evil.example/").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "unrecognized name") {
		t.Errorf("refused TLS: %v %s", err, out)
	}
}
