//go:build linux

package attacks

import (
	"context"
	"errors"
	"net/netip"
)

// Speak asks the gateway for every one of Words by every way, also over DNS, so
// that they are in its record, and in whatever is printed of that.
func Speak(ctx context.Context) error {
	gateway, ok := Targets{}.gateway()
	if !ok {
		return errors.New("nobody says where the gateway is")
	}
	for _, word := range Words() {
		for _, host := range []string{word, word + ".example"} {
			for _, w := range ways() {
				if open, said := w.ask(ctx, Targets{}, gateway, host, w.port); open {
					return errors.New("let through: " + said)
				}
			}
			label := word[:min(len(word), 63)]
			for _, network := range []string{"udp", "tcp"} {
				_, _ = askRaw(ctx, network, netip.AddrPortFrom(gateway, 53), rawQuestion(label, "example")) // refused, or no answer
			}
		}
		// In a method and in a path, to where something is allowed and to where not.
		for _, message := range []string{"GET http://refused.example/" + word + " HTTP/1.1\r\nHost: refused.example\r\n\r\n", word + " http://refused.example/ HTTP/1.1\r\nHost: refused.example\r\n\r\n"} {
			_, _ = exchange(ctx, gateway, 3128, message) // refused
		}
	}
	return nil
}

// rawQuestion is a question of DNS for labels of any bytes.
func rawQuestion(labels ...string) []byte {
	question := []byte{0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	for _, label := range labels {
		question = append(append(question, byte(len(label))), label...) //nolint:gosec // G115: 63 at most
	}
	return append(question, 0, 0, 1, 0, 1)
}
