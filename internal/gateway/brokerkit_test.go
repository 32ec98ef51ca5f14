package gateway

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"claude-bottle/internal/broker"
	"claude-bottle/internal/policy"
)

// brokered is a gateway with secrets, and what a bottle would have of them.
type brokered struct {
	*inspected
	placeholders map[string]string
	values       map[string]string
}

// secretFor makes a secret of GitHub's form.
func secretFor(t testing.TB, terms policy.Secret) broker.Secret {
	t.Helper()
	s := broker.Secret{Entry: terms, Pair: pairOf(t, "ghp_"+rand.Text()+rand.Text()[:10])}
	if terms.SigV4 {
		s.Pair, s.KeyID, s.Token = pairOf(t, rand.Text()+rand.Text()[:14]), pairOf(t, "AKIA"+rand.Text()[:16]), pairOf(t, rand.Text()+rand.Text())
	}
	return s
}

func pairOf(t testing.TB, value string) broker.Pair {
	t.Helper()
	placeholder, err := broker.Placeholder(value)
	if err != nil {
		t.Fatal(err)
	}
	return broker.Pair{Value: value, Placeholder: placeholder}
}

// brokerWorld is a gateway whose policy is e and secrets; it allows their
// hosts, and those that e allows.
func brokerWorld(t testing.TB, w *world, e policy.Egress, secrets ...broker.Secret) *brokered {
	t.Helper()
	return brokerWorldWith(t, w, e, nil, secrets...)
}

func brokerWorldWith(t testing.TB, w *world, e policy.Egress, opts []option, secrets ...broker.Secret) *brokered {
	t.Helper()
	b := &brokered{placeholders: map[string]string{}, values: map[string]string{}}
	for _, s := range secrets {
		e.Secrets = append(e.Secrets, s.Entry)
		for _, host := range s.Hosts {
			e.Allow = append(e.Allow, policy.Allow{Host: host, Source: "test"})
		}
		b.placeholders[s.Name], b.values[s.Name] = s.Placeholder, s.Value
	}
	b.inspected = inspectWorld(t, w, e, append([]option{func(srv *server) {
		var err error
		if srv.broker, err = newBroker(e.Secrets, secrets); err != nil {
			t.Fatal(err)
		}
	}}, opts...)...)
	t.Cleanup(b.nothingRecorded)
	return b
}

// nothingRecorded looks for the values in the record.
func (b *brokered) nothingRecorded() {
	data, err := os.ReadFile(b.record)
	if err != nil {
		b.t.Error(err)
	}
	for name, value := range b.values {
		if strings.Contains(string(data), value) {
			b.t.Errorf("the record holds %s", name)
		}
	}
}

// bearer puts a token where most APIs want it.
func bearer(token string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

// checks is an origin that takes one bearer token and says what it got.
func checks(token string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token {
			http.Error(w, "401: this is not the token", http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, "%s %s, welcome", r.Method, r.URL.Path)
	}
}
