package broker

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestFields(t *testing.T) {
	b := broker(t, github())
	const form, object, parts = "application/x-www-form-urlencoded", "application/json; charset=utf-8", "multipart/form-data; boundary=x"
	part := func(name string) string {
		return "--x\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\na\r\n--x\r\ncontent-disposition: form-data; name=" + name + "\r\n\r\nvalue\r\n--x--\r\n"
	}
	for _, test := range []struct {
		kind, body string
		refused    bool
	}{
		{form, "title=a&private_token=glpat-1&b=c", true},
		{form, "private%5Ftoken=1", true},
		{form, "Access-Token[]=1", true},
		{form, "title=private_token=1&token=a&page_token=b", false},
		{object, `{"title": "a", "private_token" : "x"}`, true},
		{object, ` {"a": {"b": [1, {"c": 2}]}, "client\u005fsecret": "x"}`, true},
		{object, `{"title": "private_token", "x": {"private_token": "y"}, "s": "\",\"api_key\":1"}`, false},
		{object, `[{"private_token": 1}]`, false},
		{object, `{"token": "x", "password": "y"}`, false},
		{parts, part(`"api_key"`), true},
		{parts, part(`"body"`), false},
		{"text/plain", "private_token=1", false},
		{"Application/X-WWW-Form-URLEncoded ; =", "private_token=1", true},
	} {
		for _, step := range []int{1, 5, 1000} {
			f := b.Fields("api.github.com", 443, test.kind)
			var err error
			for piece := range slices.Chunk([]byte(test.body), step) {
				if err == nil {
					err = f.See(piece)
				}
			}
			if refused := errors.As(err, new(*Refusal)); refused != test.refused {
				t.Errorf("%s %q by %d: %v", test.kind, test.body, step, err)
			}
		}
	}
	if b.Fields("elsewhere.example", 443, form) != nil {
		t.Error("another host's bodies are looked at")
	}
	own := github()
	own.OwnCredentials = true
	if broker(t, own).Fields("api.github.com", 443, form) != nil {
		t.Error("own_credentials does not count")
	}
	slack := github()
	slack.Hosts = []string{"slack.com"}
	if err := broker(t, slack).Fields("slack.com", 443, form).See([]byte("channel=a&token=" + strings.Repeat("x", 20))); err == nil {
		t.Error("Slack's token passes")
	}
}

// BenchmarkFields is a body as agents send them: a text in JSON.
func BenchmarkFields(b *testing.B) {
	body := []byte(`{"messages": [{"content": "` + strings.Repeat(`func main() {\n\tfmt.Println(\"hello, world\")\n}\n`, 20_000) + `"}]}`)
	by := broker(b, github())
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if err := by.Fields("api.github.com", 443, "application/json").See(body); err != nil {
			b.Fatal(err)
		}
	}
}
