package gateway

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/broker"
	"claude-bottle/internal/policy"
)

// TestBrokeredFields: another account that a body names is refused as one that
// a header names is, before the request has reached anybody as a whole.
func TestBrokeredFields(t *testing.T) {
	for _, version := range versions {
		w := newWorld()
		s := secretFor(t, policy.Secret{Name: "TOKEN", Hosts: []string{"api.example"}})
		f := brokerWorldWith(t, w, everything("other.example"), []option{watching}, s)
		answer := checks(s.Value)
		f.serve(w, "api.example", func(w http.ResponseWriter, r *http.Request) {
			// Its answer may not come first: nobody waits for a late body longer
			// than earlyPatience.
			if _, err := io.Copy(io.Discard, r.Body); err == nil {
				answer(w, r)
			}
		})
		f.serve(w, "other.example", echo)
		c := f.speak(version)
		for _, test := range []struct {
			what, host, kind, body string
			status                 int
		}{
			{"a form", "api.example", "application/x-www-form-urlencoded", "title=a&private_token=b", http.StatusForbidden},
			{"JSON", "api.example", "application/json", `{"title": "a", "access_token": "b"}`, http.StatusForbidden},
			{"other fields", "api.example", "application/json", `{"title": "a", "body": "access_token"}`, http.StatusOK},
			{"another host", "other.example", "application/json", `{"access_token": "b"}`, http.StatusOK},
		} {
			got := fetch(t, c, "POST", "https://"+test.host+"/x", strings.NewReader(test.body), func(r *http.Request) {
				r.Header.Set("Content-Type", test.kind)
				if test.host == "api.example" {
					bearer(s.Placeholder)(r)
				}
			})
			if got.StatusCode != test.status {
				t.Errorf("%s, %s: %d %q", version, test.what, got.StatusCode, got.body)
			}
			if test.status == http.StatusForbidden {
				f.eventually(test.what, func(e audit.Event) bool {
					return e.Decision == audit.Denied && e.Rule == broker.RuleCredentials && strings.Contains(e.Reason, "the body's field")
				})
			}
		}
	}
}
