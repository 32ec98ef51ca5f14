package gateway

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"strings"
	"testing"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
	"claude-bottle/test/origins"
)

// enveloped puts flags and a length in front, as gRPC does.
func enveloped(flags byte, data string) string {
	head := binary.BigEndian.AppendUint32([]byte{flags}, uint32(len(data))) //nolint:gosec // G115: short
	return string(head) + data
}

// TestPackedMessages: a value in a message of gRPC that is compressed by itself
// is seen, and what cannot be looked into is refused. All else goes on byte for
// byte.
func TestPackedMessages(t *testing.T) {
	text := strings.Repeat("ordinary text, ", 20_000)
	bomb := zipped(t, "gzip", string(bytes.Repeat([]byte{0}, 64<<20)))
	clean := enveloped(1, zipped(t, "gzip", text))
	plain := enveloped(0, "some")
	for name, tt := range map[string]struct {
		kind, packing string
		body, want    string // what is said of it; "" for nothing
	}{
		"nothing in it":         {"application/grpc", "gzip", plain + clean + plain + enveloped(1, ""), ""},
		"not compressed":        {"application/grpc+proto", "gzip", plain + enveloped(0, text), ""},
		"not said":              {"application/grpc", "", plain + enveloped(0, text), ""},
		"identity":              {"application/grpc", "identity", plain + enveloped(0, text), ""},
		"gzip":                  {"application/grpc", "gzip", enveloped(1, zipped(t, "gzip", text+readable+text)), "READABLE"},
		"deflate":               {"application/grpc+proto", "deflate", enveloped(1, zipped(t, "deflate", readable)), "READABLE"},
		"short":                 {"Application/GRPC", "GZip", enveloped(1, zipped(t, "gzip", readable)), "READABLE"},
		"the third":             {"application/grpc", "gzip", plain + clean + enveloped(1, zipped(t, "gzip", readable)) + clean, "READABLE"},
		"beside":                {"application/grpc", "gzip", clean + enveloped(0, readable) + clean, "READABLE"},
		"gRPC-Web":              {"application/grpc-web+proto", "gzip", enveloped(1, zipped(t, "gzip", readable)), "READABLE"},
		"Connect":               {"application/connect+json", "gzip", enveloped(1, zipped(t, "gzip", readable)), "READABLE"},
		"further flags":         {"application/grpc", "gzip", enveloped(0x81, zipped(t, "gzip", readable)), "READABLE"},
		"as text":               {"application/grpc-web-text", "gzip", "AQAAAAA=", "the coding gzip in another"},
		"unknown":               {"application/grpc", "snappy", plain, "the coding snappy"},
		"two":                   {"application/grpc", "gzip, gzip", plain, "the coding gzip, gzip"},
		"compressed, not how":   {"application/grpc", "", enveloped(1, zipped(t, "gzip", readable)), errUnpacked.Error()},
		"compressed, not in it": {"application/grpc", "gzip", enveloped(1, "plain text and no gzip"), "not in the content coding"},
		"cut short":             {"application/grpc", "gzip", clean[:len(clean)/2], "not in the content coding"},
		"more behind it":        {"application/grpc", "deflate", enveloped(1, zipped(t, "deflate", text)+"and more"), "behind the end"},
		"a bomb":                {"application/grpc", "gzip", enveloped(1, bomb), "grows too much"},
	} {
		f := lookWorld(t, scanned("", "a.example"))
		for way, by := range f.ways {
			answer := fetch(t, by.client, "POST", by.base+"/", strings.NewReader(tt.body), func(r *http.Request) {
				r.Header.Set("Content-Type", tt.kind)
				if strings.Contains(tt.kind, "connect") {
					r.Header.Set("Connect-Content-Encoding", tt.packing)
				} else if tt.packing != "" {
					r.Header.Set("Grpc-Encoding", tt.packing)
				}
			})
			got := f.sink.drain()
			switch {
			case tt.want == "" && (answer.StatusCode != http.StatusOK || !strings.HasSuffix(got, tt.body)):
				t.Errorf("%s, %s: %d, %d bytes: %s", name, way, answer.StatusCode, len(got), answer.body)
			case tt.want != "" && (answer.StatusCode != http.StatusForbidden || !strings.Contains(answer.body, tt.want)):
				t.Errorf("%s, %s: %d %s", name, way, answer.StatusCode, answer.body)
			}
		}
	}
}

// Where it is only to be warned of, messages in an unknown coding go on, and the
// record says so once.
func TestPackedMessagesWarned(t *testing.T) {
	f := lookWorld(t, scanned(policy.ScanWarn, "a.example"))
	by := f.ways["h2"]
	answer := fetch(t, by.client, "POST", by.base+"/", strings.NewReader(enveloped(1, "whatever")), func(r *http.Request) {
		r.Header.Set("Content-Type", "application/grpc")
		r.Header.Set("Grpc-Encoding", "snappy")
	})
	if answer.StatusCode != http.StatusOK {
		t.Errorf("%d %s", answer.StatusCode, answer.body)
	}
	f.eventually("the line of it", func(e audit.Event) bool { return e.Kind == audit.Found && strings.Contains(e.Reason, "content coding") })
}

// TestGRPCPacks: a real client that compresses its messages, with and without a
// value in them.
func TestGRPCPacks(t *testing.T) {
	w := newWorld()
	f := inspectWorld(t, w, scanned("", "a.example"), watching)
	server := origins.StartGRPC(t, f.notary.sign("a.example"), "127.0.0.1:0")
	w.host("a.example", 443, "127.0.0.1:"+server.Port)
	for _, coding := range []string{"gzip", "deflate"} {
		for _, value := range []string{"nothing", readable} {
			out, err := f.callGRPC("pack", "a.example:443", coding, value).CombinedOutput()
			want := map[bool]string{true: "3 answers", false: "PERMISSION_DENIED"}[value == "nothing"]
			if err != nil || !strings.Contains(string(out), want) {
				t.Errorf("%s, %s: %v\n%s", coding, value, err, out)
			}
		}
	}
	e := f.eventually("the refusal", func(e audit.Event) bool { return e.Path == "/test.Echo/Both" && e.Decision == audit.Denied })
	if e.Rule != ruleScan || !strings.Contains(e.Reason, "the body holds the secret READABLE") {
		t.Errorf("%+v", e)
	}
	f.eventually("fewer bytes than were said", func(e audit.Event) bool {
		return e.Path == "/test.Echo/Both" && e.Phase == audit.Close && e.Decision == audit.Allowed && e.Sent < 60_000
	})
}
