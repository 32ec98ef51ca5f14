package policy

import (
	"reflect"
	"testing"
)

func TestParseRule(t *testing.T) {
	for text, want := range map[string]Rule{
		"api.example.com":                     {Host: "api.example.com"},
		"*.example.com":                       {Host: "*.example.com"},
		"api.example.com:8443":                {Host: "api.example.com", Port: 8443},
		"[2001:db8::1]:8443":                  {Host: "2001:db8::1", Port: 8443},
		"https://api.example.com/v1/**":       {Host: "api.example.com", Port: 443, Paths: []string{"/v1/**"}},
		"GET,HEAD https://api.example.com/**": {Host: "api.example.com", Port: 443, Methods: []string{"GET", "HEAD"}, Paths: []string{"/**"}},
		"GET http://api.example.com/x":        {Host: "api.example.com", Port: 80, Methods: []string{"GET"}, Paths: []string{"/x"}},
		"POST https://api.example.com:8443/x": {Host: "api.example.com", Port: 8443, Methods: []string{"POST"}, Paths: []string{"/x"}},
		"tcp://db.example.com:5432":           {Host: "db.example.com", Port: 5432, TCP: true},
	} {
		got, err := ParseRule(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
		if again := got.Text(); again != text {
			t.Errorf("%s is written %s", text, again)
		}
	}
	for _, text := range []string{
		"", "a b c", "tcp://db.example.com", "ftp://a.example/", "a.example/path", "GET a.example", ",GET https://a.example/", "https://", "https://u@a.example/",
		"https://a.example/?q", "a.example:0", "a.example:99999", "tcp://a.example:1/x", "GET tcp://a.example:1",
	} {
		if got, err := ParseRule(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

// A rule made from a request reads as that request was, and back as it is.
func TestRuleTextForARequest(t *testing.T) {
	for want, test := range map[string]struct {
		kind Kind
		port int
	}{
		"GET http://a.example:8080/x":  {HTTP, 8080},
		"GET https://a.example:8080/x": {HTTPS, 8080},
		"GET http://a.example/x":       {HTTP, 80},
		"GET https://a.example/x":      {HTTPS, 443},
	} {
		rule := Rule{Host: "a.example", Port: test.port, Methods: []string{"GET"}, Paths: []string{"/x"}}
		if got := rule.TextFor(test.kind); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if again, err := ParseRule(want); err != nil || !reflect.DeepEqual(again, rule) {
			t.Errorf("%s is read as %+v, %v", want, again, err)
		}
	}
}
