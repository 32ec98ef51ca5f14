package gateway

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/broker"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/wire"
)

// renewing is a gateway with one login that has expired.
type renewing struct {
	*brokered
	world   *world
	secret  broker.Secret
	renewed chan wire.Renewed
	turn    wire.Turn // what byHand's launcher answers
	turns   *turns
}

// launcher answers whoever wants to renew, and notes what it is told.
func (r *renewing) launcher(answer func() wire.Turn) *turns {
	r.turns = newTurns(func(kind wire.Kind, v any) error {
		if kind == wire.KindRenewed {
			r.renewed <- v.(wire.Renewed)
			return nil
		}
		payload, err := json.Marshal(answer())
		if err == nil {
			err = r.turns.granted(wire.Frame{Kind: wire.KindTurn, Payload: payload})
		}
		return err
	})
	close(r.turns.settled)
	return r.turns
}

const (
	firstValue, firstRefresh   = "sk-ant-oat01-firstfirstfirstfirstfirstfirst", "sk-ant-ort01-firstfirstfirstfirst"
	secondValue, secondRefresh = "sk-ant-oat01-secondsecondsecondsecondsecon", "sk-ant-ort01-secondsecondsecond"
)

// newRenewing serves the endpoint before the gateway begins; another authority
// than the person's may have signed for it, as a project's would.
func newRenewing(t *testing.T, w *world, e policy.Egress, endpoint http.HandlerFunc, forged bool) *renewing {
	t.Helper()
	person, project := newNotary(t), newNotary(t)
	signs := person
	if forged {
		signs = project
	}
	if endpoint != nil {
		w.host("login.example", 443, secureOrigin(t, signs.sign("login.example"), endpoint))
	}
	s := broker.Secret{
		Entry: policy.Secret{Name: "TOKEN", Hosts: []string{"api.example"}}, Pair: pairOf(t, firstValue),
		Renewal: &broker.Renewal{URL: "https://login.example/v1/oauth/token", ClientID: "client", Token: firstRefresh, Expires: time.Now().Add(-time.Second)},
	}
	r := &renewing{world: w, secret: s, renewed: make(chan wire.Renewed, 4)}
	r.brokered = brokerWorldWith(t, w, e, []option{func(srv *server) {
		srv.newRenewers([]broker.Secret{s}, r.launcher(func() wire.Turn { return wire.Turn{Name: "TOKEN"} }))
		srv.watchFor(nil, srv.broker)
		srv.inspector.strict = trust{system: person.pem()}.config
		srv.inspector.upstream = trust{system: person.pem(), extra: project.pem()}.config
	}}, s)
	r.notary = person
	return r
}

// A login that has expired is renewed by the gateway before it is used; the
// bottle's placeholder stays, and the launcher gets what it has to keep.
func TestRenewal(t *testing.T) {
	w := newWorld()
	asked := make(chan string, 4)
	r := newRenewing(t, w, allow("login.example"), func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		asked <- q.Method + " " + q.URL.Path + " " + string(body)
		fmt.Fprintf(w, `{"access_token": %q, "refresh_token": %q, "expires_in": 28800}`, secondValue, secondRefresh)
	}, false)
	r.serve(w, "api.example", checks(secondValue))
	got := fetch(t, r.speak(protoHTTP2), "GET", "https://api.example/x", nil, bearer(r.secret.Placeholder))
	if got.StatusCode != http.StatusOK || got.body != "GET /x, welcome" {
		t.Errorf("%d %q", got.StatusCode, got.body)
	}
	var request map[string]string
	if method, body, _ := strings.Cut(<-asked, " /v1/oauth/token "); method != "POST" || json.Unmarshal([]byte(body), &request) != nil ||
		request["refresh_token"] != firstRefresh || request["grant_type"] != "refresh_token" || request["client_id"] != "client" {
		t.Errorf("the endpoint was asked %s", body)
	}
	renewed := <-r.renewed
	login, ok := broker.ParseLogin(renewed.Login)
	if !ok || renewed.Name != "TOKEN" || login.Value != secondValue || login.Refresh != secondRefresh || time.Until(login.Expires) < 7*time.Hour {
		t.Errorf("the launcher gets %v", renewed)
	}
	r.eventually("the renewal's line", func(e audit.Event) bool {
		return e.Host == "login.example" && e.Rule == "secret TOKEN" && e.Decision == audit.Allowed && e.Method == "POST"
	})
	record, err := os.ReadFile(r.record)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{firstValue, firstRefresh, secondValue, secondRefresh} {
		if text := fmt.Sprintf("%s %v %+v %#v", record, renewed, r.secret, login); strings.Contains(text, secret) {
			t.Errorf("%s is shown", secret)
		}
	}
	// Neither the value that it has now nor the former one leaves by hand.
	for _, value := range []string{secondValue, firstValue, base64.StdEncoding.EncodeToString([]byte(secondValue))} {
		got = fetch(t, r.speak(protoHTTP1), "GET", "https://api.example/?said="+value, nil, bearer(r.secret.Placeholder))
		if got.StatusCode != http.StatusForbidden || !strings.Contains(got.body, "the secret TOKEN") {
			t.Errorf("a URL with a real value: %d %q", got.StatusCode, got.body)
		}
	}
	// A server that still says the former one tells it to nobody.
	r.serve(w, "api.example", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, firstValue+" "+secondValue) })
	got = fetch(t, r.speak(protoHTTP1), "GET", "https://api.example/x", nil, bearer(r.secret.Placeholder))
	if got.body != r.secret.Placeholder+" "+r.secret.Placeholder {
		t.Errorf("an echo: %q", got.body)
	}
}

// What the endpoint's name leads to by a project's doing is not believed, what
// the policy denies is not asked, and what is no answer changes nothing.
func TestRenewalRefuses(t *testing.T) {
	for what, test := range map[string]struct {
		egress policy.Egress
		origin http.HandlerFunc
		forged bool
		reason string
	}{
		"the policy denies it": {policy.Egress{}, nil, false, "not on the allowlist"},
		"a project's roots":    {allow("login.example"), func(w http.ResponseWriter, _ *http.Request) { t.Error("it was asked") }, true, "gave no answer"},
		"an error":             {allow("login.example"), func(w http.ResponseWriter, _ *http.Request) { http.Error(w, firstRefresh, http.StatusBadRequest) }, false, "answered 400"},
		"a redirect": {allow("login.example"), func(w http.ResponseWriter, q *http.Request) {
			http.Redirect(w, q, "https://evil.example/", http.StatusTemporaryRedirect)
		}, false, "answered 307"},
		"no token": {allow("login.example"), func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"access_token": "x y", "expires_in": 1}`)
		}, false, "holds no token"},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld()
			r := newRenewing(t, w, test.egress, test.origin, test.forged)
			e := r.eventually("the failure's line", func(e audit.Event) bool { return e.Rule == "secret TOKEN" && e.Decision == audit.Failed })
			if !strings.Contains(e.Reason, test.reason) {
				t.Errorf("%q", e.Reason)
			}
		})
	}
}

// byHand takes a gateway's renewer, which then renews when the test says so.
func byHand(t *testing.T, endpoint http.HandlerFunc, opts ...option) (*renewing, *renewer) {
	t.Helper()
	w := newWorld()
	person := newNotary(t)
	w.host("login.example", 443, secureOrigin(t, person.sign("login.example"), endpoint))
	s := broker.Secret{
		Entry: policy.Secret{Name: "TOKEN", Hosts: []string{"api.example"}}, Pair: pairOf(t, firstValue),
		Renewal: &broker.Renewal{URL: "https://login.example/v1/oauth/token", ClientID: "client", Token: firstRefresh},
	}
	r := &renewing{world: w, secret: s, renewed: make(chan wire.Renewed, 4), turn: wire.Turn{Name: "TOKEN"}}
	var one *renewer
	opts = append(opts, func(srv *server) {
		srv.newRenewers([]broker.Secret{s}, r.launcher(func() wire.Turn { return r.turn }))
		one, srv.renewers = srv.renewers[0], nil
		srv.inspector.strict = trust{system: person.pem()}.config
	})
	r.brokered = brokerWorldWith(t, w, allow("login.example"), opts, s)
	r.notary = person
	say(t, r.proxy, "GET http://other.example/ HTTP/1.1\r\nHost: other.example\r\n\r\n") // it serves
	return r, one
}

// writes has a gateway keep its record elsewhere.
func writes(t *testing.T, record string) option {
	t.Helper()
	return func(srv *server) {
		elsewhere, err := audit.OpenWriter(record, recordLimit)
		if err != nil {
			t.Fatal(err)
		}
		if err := srv.journal.writer.Close(); err != nil {
			t.Error(err)
		}
		srv.journal.writer = elsewhere
	}
}

// A login that could not be recorded is not renewed: what it is renewed with
// stays worth what it was.
func TestRenewalNeedsTheRecord(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("this system has no /dev/full")
	}
	_, one := byHand(t, func(http.ResponseWriter, *http.Request) { t.Error("the endpoint was asked") }, writes(t, "/dev/full"))
	if err := one.renew(t.Context()); err == nil || !strings.Contains(err.Error(), "the record cannot be written") {
		t.Errorf("it says %v", err)
	}
	if one.renewal.Token != firstRefresh {
		t.Error("the refresh token is another")
	}
}

// The record breaks while the endpoint answers, by which all that is carried
// is cut. What it answered is kept all the same, and is not recorded anywhere.
func TestRenewalOutlivesTheRecord(t *testing.T) {
	var r *renewing
	_, cut := net.Pipe()
	r, one := byHand(t, func(w http.ResponseWriter, _ *http.Request) {
		if !r.server.track(cut, worldSide) || r.server.journal.writer.Close() != nil || r.server.journal.append(audit.Event{Host: "a.example"}) == nil {
			t.Error("the record did not break")
		}
		fmt.Fprintf(w, `{"access_token": %q, "refresh_token": %q, "expires_in": 28800}`, secondValue, secondRefresh)
	})
	if err := one.renew(t.Context()); err != nil {
		t.Errorf("it says %v", err)
	}
	if _, err := cut.Write([]byte("x")); err == nil {
		t.Error("what was carried was not cut")
	}
	select {
	case renewed := <-r.renewed:
		if login, ok := broker.ParseLogin(renewed.Login); !ok || login.Refresh != secondRefresh {
			t.Errorf("the launcher gets %v", renewed)
		}
	default:
		t.Error("the launcher gets nothing")
	}
	if one.renewal.Token != secondRefresh || time.Until(one.renewal.Expires) < 7*time.Hour {
		t.Error("the next one would be asked for with the former token")
	}
	waitFor(t, "its connection is forgotten", func() bool {
		r.server.mu.Lock()
		defer r.server.mu.Unlock()
		for _, side := range r.server.conns {
			if side == renewalSide {
				return false
			}
		}
		return true
	})
}

// Of all runs that have a login one renews it: a gateway whose turn shows that
// another has, goes on with what that got, and with its refresh token when that
// is about to expire too. One that gets no turn asks nobody.
func TestRenewalTakesTurns(t *testing.T) {
	const thirdValue, thirdRefresh = "sk-ant-oat01-thirdthirdthirdthirdthirdthird", "sk-ant-ort01-thirdthirdthird"
	keeps := func(expires time.Time) wire.Turn {
		return wire.Turn{Name: "TOKEN", Login: broker.Login{Value: secondValue, Refresh: secondRefresh, Expires: expires}.Text()}
	}
	for what, test := range map[string]struct {
		turn              wire.Turn
		asked, value, say string
	}{
		"nobody has renewed it":        {wire.Turn{Name: "TOKEN", Login: broker.Login{Value: firstValue, Refresh: firstRefresh}.Text()}, firstRefresh, thirdValue, "it was renewed"},
		"another run has":              {keeps(time.Now().Add(time.Hour)), "", secondValue, "another run renewed it"},
		"another has, long ago":        {keeps(time.Now().Add(time.Minute)), secondRefresh, thirdValue, "it was renewed"},
		"nothing is kept any more":     {wire.Turn{Name: "TOKEN"}, firstRefresh, thirdValue, "it was renewed"},
		"the keychain does not answer": {wire.Turn{Name: "TOKEN", Refused: "it is locked"}, "", firstValue, "could not be renewed: it is locked"},
	} {
		t.Run(what, func(t *testing.T) {
			asked := ""
			r, one := byHand(t, func(w http.ResponseWriter, q *http.Request) {
				var body map[string]string
				_ = json.NewDecoder(q.Body).Decode(&body)
				asked = body["refresh_token"]
				fmt.Fprintf(w, `{"access_token": %q, "refresh_token": %q, "expires_in": 28800}`, thirdValue, thirdRefresh)
			})
			r.turn = test.turn
			if err := one.renew(t.Context()); (err != nil) != (test.turn.Refused != "") {
				t.Error(err)
			}
			if asked != test.asked {
				t.Errorf("the endpoint is asked with %q", asked)
			}
			r.eventually("its line", func(e audit.Event) bool { return strings.Contains(e.Reason, test.say) })
			if test.turn.Refused != "" {
				if len(r.renewed) > 0 {
					t.Error("a turn that there was not is given back")
				}
				return
			}
			if got := <-r.renewed; (got.Login != "") != (asked != "") {
				t.Errorf("the turn ends with a login: %v", got.Login != "")
			}
			r.serve(r.world, "api.example", checks(test.value))
			if got := fetch(t, r.speak(protoHTTP1), "GET", "https://api.example/x", nil, bearer(r.secret.Placeholder)); got.StatusCode != http.StatusOK {
				t.Errorf("%d %q", got.StatusCode, got.body)
			}
		})
	}
}

// A gateway that is told to end while the endpoint answers hands on what that
// gave; one whose launcher is gone does not stay for it.
func TestRenewalHasGrace(t *testing.T) {
	for _, gone := range []bool{false, true} {
		ctx, end := context.WithCancel(t.Context())
		defer end()
		var r *renewing
		r, one := byHand(t, func(w http.ResponseWriter, q *http.Request) {
			end()
			r.server.end()
			if gone {
				r.turns.left()
				_, _ = io.Copy(io.Discard, q.Body) // or its end is not seen
				<-q.Context().Done()
			}
			fmt.Fprintf(w, `{"access_token": %q, "refresh_token": %q, "expires_in": 28800}`, secondValue, secondRefresh)
		})
		if err := one.renew(ctx); (err != nil) != gone {
			t.Errorf("gone: %v, and it says %v", gone, err)
		}
		if login, is := broker.ParseLogin((<-r.renewed).Login); is == gone || is && login.Refresh != secondRefresh {
			t.Errorf("gone: %v, and the launcher gets a login: %v", gone, is)
		}
	}
}
