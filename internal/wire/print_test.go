package wire

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"claude-bottle/internal/broker"
)

// Frames with secrets print none of them, whatever the verb.
func TestFramesPrintNoSecret(t *testing.T) {
	const value = "a-token-of-some-kind"
	pair := broker.Pair{Value: value, Placeholder: "a-placeholder"}
	login := broker.Login{Value: value, Refresh: value}
	boot := GatewayBoot{
		Secrets: []broker.Secret{{Pair: pair, KeyID: pair, Token: pair, Renewal: &broker.Renewal{Token: value}}},
		Watch:   []Watched{{Name: "TOKEN", Value: []byte(value)}},
	}
	guest := GuestBoot{Run: "a-run", Secrets: Strings{"TOKEN=" + value}}
	decimal := strings.Trim(fmt.Sprintf("%d", []byte(value)), "[]")
	shown := []string{value, hex.EncodeToString([]byte(value)), decimal}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%t"} {
		for _, holder := range []any{boot, &boot, guest, &guest, boot.Secrets[0], boot.Secrets[0].Renewal, pair, login, Renewed{Name: "TOKEN", Login: login.Text()}, Turn{Name: "TOKEN", Login: login.Text()}} {
			text := strings.ToLower(fmt.Sprintf(verb, holder))
			for _, form := range shown {
				if strings.Contains(text, form) {
					t.Errorf("%T prints its secret with %s", holder, verb)
				}
			}
		}
	}
}
