package policy

import (
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestNormalise(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"Example.COM", "example.com"},
		{"example.com.", "example.com"},
		{"a_b.example", "a_b.example"},
		{"r3---sn-.example", "r3---sn-.example"},
		{"Bücher.example", "xn--bcher-kva.example"},
		{"xn--BCHER-kva.example", "xn--bcher-kva.example"},
		{"example。com", "example.com"}, // ideographic full stop
		{"127.0.0.1", "127.0.0.1"},
		{"127.0.0.1.", "127.0.0.1"},
		{"2130706433", "127.0.0.1"},
		{"0x7f000001", "127.0.0.1"},
		{"0X7F.1", "127.0.0.1"},
		{"0177.0.0.1", "127.0.0.1"},
		{"127.1", "127.0.0.1"},
		{"127.0.1", "127.0.0.1"},
		{"10.0x10.0377.1", "10.16.255.1"},
		{"0", "0.0.0.0"},
		{"0x", "0.0.0.0"},
		{"１２７.0.0.1", "127.0.0.1"}, // full-width digits
		{"[::1]", "::1"},
		{"::1", "::1"},
		{"[::ffff:127.0.0.1]", "127.0.0.1"},
		{"::ffff:7f00:1", "127.0.0.1"},
		{"[2001:DB8:0:0::1]", "2001:db8::1"},
		{"64:ff9b::7f00:1", "64:ff9b::7f00:1"},
	} {
		got, err := Normalise(tt.in)
		if err != nil || got != tt.want {
			t.Errorf("Normalise(%q) = %q, %v; want %q", tt.in, got, err, tt.want)
		}
	}
}

func TestNormaliseRefuses(t *testing.T) {
	for _, in := range []string{
		"", ".", "..", "example..com", ".example.com", "example.com..", "a b.example", "a/b", "a@b", "a%2eb", "a\x00b", "a\r\nb",
		"*.example.com", "[127.0.0.1]", "[::1", "::1]", "[::1]x", "fe80::1%eth0", "[fe80::1%25eth0]", "example.com:80",
		"256.256.256.256", "1.2.3.4.5", "1.2.3.0x100", "08.0.0.1", "1.2.3.09", "4294967296", "0x100000000", "example.123", "a.0x1g.0x",
		strings.Repeat("a", 64) + ".example", strings.Repeat("a.", 127) + "aa", "xn--\u00fc.example", "\xff.example",
	} {
		if got, err := Normalise(in); err == nil {
			t.Errorf("Normalise(%q) = %q, want an error", in, got)
		}
	}
}

// hostGen draws what people and attackers write for a host.
func hostGen() *rapid.Generator[string] {
	label := rapid.StringMatching(`[a-z0-9_-]{1,12}`)
	name := rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(label, 1, 5).Draw(t, "labels"), ".")
	})
	number := rapid.StringMatching(`(0x[0-9a-f]{0,8}|0[0-7]{0,4}|[0-9]{1,10})(\.(0x[0-9a-f]{1,2}|[0-9]{1,3})){0,4}`)
	return rapid.OneOf(name, number, rapid.String(), rapid.Just("[::1]"), rapid.Just("::ffff:10.1.2.3"))
}

func TestNormaliseIsIdempotentAndBlindToSpelling(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		host := hostGen().Draw(t, "host")
		once, err := Normalise(host)
		if err != nil {
			return
		}
		for _, variant := range []string{once, strings.ToUpper(once), dotted(once)} {
			if again, err := Normalise(variant); err != nil || again != once {
				t.Fatalf("Normalise(%q) = %q, but of %q: %q, %v", host, once, variant, again, err)
			}
		}
	})
}

// dotted adds the trailing dot that a name or IPv4 address may have.
func dotted(host string) string {
	if strings.Contains(host, ":") {
		return host
	}
	return host + "."
}

func FuzzNormalise(f *testing.F) {
	for _, s := range []string{"example.com", "0x7f.1", "[::ffff:1.2.3.4]", "bücher.example", "xn--a.example", "1.2.3.4.", "。"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, host string) {
		once, err := Normalise(host)
		if err != nil {
			return
		}
		again, err := Normalise(once)
		if err != nil || again != once {
			t.Fatalf("Normalise(%q) = %q, then %q, %v", host, once, again, err)
		}
		if strings.ContainsAny(once, " \r\n\t/@%*[]") || once != strings.ToLower(once) || len(once) > maxHost {
			t.Fatalf("Normalise(%q) = %q", host, once)
		}
		if _, err := netip.ParseAddr(once); err != nil && endsInNumber(once) {
			t.Fatalf("Normalise(%q) = %q, which a resolver may take for an address", host, once)
		}
	})
}
