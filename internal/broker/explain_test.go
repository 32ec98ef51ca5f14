package broker_test

import (
	"net/http"
	"testing"

	"claude-bottle/internal/broker"
)

// What Explain foretells is what Apply does.
func TestExplain(t *testing.T) {
	entries := []broker.Entry{
		{Name: "NARROW", Hosts: []string{"api.github.com"}, Paths: []string{"/repos/acme/**"}},
		{Name: "ANY", Hosts: []string{"any.example"}},
		{Name: "OPEN", Hosts: []string{"open.example"}, Paths: []string{"/a/*"}, Anonymous: true},
		{Name: "BESIDE", Hosts: []string{"beside.example"}, Paths: []string{"/a/*"}, OwnCredentials: true},
	}
	pairs := []broker.Pair{
		{Value: "value-of-narrow-0001", Placeholder: "stands-for-narrow-01"},
		{Value: "value-of-any-000000002", Placeholder: "stands-for-any-000002"},
		{Value: "value-of-open-00000003", Placeholder: "stands-for-open-00003"},
		{Value: "value-of-beside-000004", Placeholder: "stands-for-beside-004"},
	}
	var secrets []broker.Secret
	for i, e := range entries {
		secrets = append(secrets, broker.Secret{Entry: e, Pair: pairs[i]})
	}
	b, err := broker.New(secrets)
	if err != nil {
		t.Fatal(err)
	}
	foretold := 0
	for _, host := range []string{"api.github.com", "any.example", "open.example", "beside.example", "other.example"} {
		for _, path := range []string{"/", "/repos/acme/web", "/repos/acme/../x", "/a/b", "/a%2fb", "/user", "/app/installations/1/access_tokens"} {
			for _, method := range []string{http.MethodGet, http.MethodTrace} {
				for _, verified := range []bool{true, false} {
					r := broker.Request{Verified: verified, Method: method, Host: host, Port: 443, Path: path, Header: http.Header{}}
					outlooks, err := broker.Explain(entries, r)
					if err != nil {
						t.Fatal(err)
					}
					for _, o := range outlooks {
						foretold++
						r.Header = http.Header{"Authorization": {"Bearer " + placeholderOf(secrets, o.Secret)}}
						if _, err := b.Apply(r); (err == nil) != (o.With == "") {
							t.Errorf("%s %s%s, verified %v, with %s: foretold %q, was %v", method, host, path, verified, o.Secret, o.With, err)
						}
						r.Header = http.Header{"Authorization": {"Bearer of-somebody-else"}}
						if _, err := b.Apply(r); (err == nil) != (o.Other == "") {
							t.Errorf("%s %s%s, verified %v, with another: foretold %q, was %v", method, host, path, verified, o.Other, err)
						}
						r.Header = http.Header{}
						if _, err := b.Apply(r); (err == nil) != (o.Without == "") {
							t.Errorf("%s %s%s, verified %v: foretold %q, was %v", method, host, path, verified, o.Without, err)
						}
					}
				}
			}
		}
	}
	if foretold != 4*7*2*2 {
		t.Errorf("%d outlooks", foretold)
	}
}

func placeholderOf(secrets []broker.Secret, name string) string {
	for _, s := range secrets {
		if s.Name == name {
			return s.Placeholder
		}
	}
	return ""
}
