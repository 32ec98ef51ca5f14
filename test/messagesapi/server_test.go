package messagesapi_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"claude-bottle/test/messagesapi"
)

// serve returns a client that trusts the server's own authority and reaches
// it under the name that agents use.
func serve(t *testing.T, server *messagesapi.Server) *http.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "authority.pem")
	if _, err := messagesapi.LoadAuthority(path); err != nil {
		t.Fatal(err)
	}
	authority, err := messagesapi.LoadAuthority(path) // what the first made
	if err != nil {
		t.Fatal(err)
	}
	config, err := authority.TLS()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- server.Serve(ctx, listener, config) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority.PEM())
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots},
		ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, listener.Addr().String())
		},
	}}
}

func post(t *testing.T, client *http.Client, path, body string) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+messagesapi.Name+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer token")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

// events puts the deltas of a stream together again, as a client does.
func events(t *testing.T, body string) (kinds []string, text, input, stop string) {
	t.Helper()
	for line := range strings.Lines(body) {
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue
		}
		var e struct {
			Type  string
			Delta struct {
				Text        string
				PartialJSON string `json:"partial_json"`
				StopReason  string `json:"stop_reason"`
			}
		}
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			t.Fatalf("%v in %s", err, data)
		}
		if len(kinds) == 0 || kinds[len(kinds)-1] != e.Type {
			kinds = append(kinds, e.Type)
		}
		text, input, stop = text+e.Delta.Text, input+e.Delta.PartialJSON, stop+e.Delta.StopReason
	}
	return kinds, text, input, stop
}

func TestStreamedAnswer(t *testing.T) {
	server := &messagesapi.Server{}
	_, body := post(t, serve(t, server), "/v1/messages", `{"model":"m","stream":true,"messages":[
		{"role":"user","content":[{"type":"text","text":"<system-reminder>no</system-reminder>"},{"type":"text","text":"good day"}]},
		{"role":"system","content":"an aside"}]}`)
	kinds, text, _, stop := events(t, body)
	want := "message_start content_block_start content_block_delta content_block_stop message_delta message_stop"
	if got := strings.Join(kinds, " "); got != want {
		t.Errorf("events %s, want %s", got, want)
	}
	if text != "Hello from the local Messages API. You said: good day" || stop != "end_turn" {
		t.Errorf("text %q, stop %q", text, stop)
	}
	if seen := server.Requests(); len(seen) != 1 || seen[0].Bearer != "token" || !seen[0].Known {
		t.Errorf("requests: %+v", seen)
	}
}

func TestToolThenItsResult(t *testing.T) {
	client := serve(t, &messagesapi.Server{})
	_, body := post(t, client, "/v1/messages", `{"model":"m","stream":true,"tools":[{"name":"Write"}],
		"messages":[{"role":"user","content":"write /w/a.txt two words"}]}`)
	_, _, input, stop := events(t, body)
	if stop != "tool_use" || input != `{"content":"two words\n","file_path":"/w/a.txt"}` {
		t.Errorf("stop %q, input %s", stop, input)
	}
	_, body = post(t, client, "/v1/messages", `{"model":"m","stream":true,"messages":[
		{"role":"user","content":"write /w/a.txt two words"},
		{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"Write","input":{}}]},
		{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"written"}]}]}`)
	if _, text, _, _ := events(t, body); text != "The tool says: written" {
		t.Errorf("text %q", text)
	}
}

func TestOtherPaths(t *testing.T) {
	server := &messagesapi.Server{}
	client := serve(t, server)
	for _, test := range []struct {
		path, body string
		status     int
		known      bool
	}{
		{"/v1/messages", `{"model":"m","messages":[{"role":"user","content":"x"}]}`, http.StatusOK, true},
		{"/v1/messages", `not JSON`, http.StatusBadRequest, true},
		{"/v1/messages", `{"messages":[]}`, http.StatusBadRequest, true},
		{"/v1/messages/count_tokens", `{"messages":[]}`, http.StatusOK, true},
		{"/elsewhere", ``, http.StatusNotFound, false},
	} {
		if status, _ := post(t, client, test.path, test.body); status != test.status {
			t.Errorf("%s %s: status %d, want %d", test.path, test.body, status, test.status)
		}
		seen := server.Requests()
		if last := seen[len(seen)-1]; last.Known != test.known {
			t.Errorf("%s: known is %t", test.path, last.Known)
		}
	}
}
