package policy

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// What is wrong with a host; the text is shown to the bottle, so it holds
// nothing of the host itself.
var (
	errEmptyHost = errors.New("the host is empty")
	errLongHost  = errors.New("the host is longer than 253 characters")
	errHostForm  = errors.New("the host is neither a name nor an address")
	errNumeric   = errors.New("the host ends in a number but is no IPv4 address")
	errZone      = errors.New("an address with a zone reaches no further than one link")
	errBadLabel  = errors.New("a label of the host is empty or longer than 63 characters")
	errHostIDNA  = errors.New("the host is not a valid internationalised name")
)

// maxHost is the longest name in text form that DNS can carry (RFC 1035,
// 2.3.4), without the trailing dot.
const maxHost = 253

// Normalise gives every spelling of one host the same text: a name in lower
// case, as A-labels (RFC 5891), without a trailing dot; an address as netip
// prints it, without brackets.
//
// A host whose last label is a number is an IPv4 address in one of the forms
// that inet_aton takes (decimal, octal, hexadecimal, one to four parts), or
// an error: resolvers inside a bottle and at the gateway must not disagree on
// what "0x7f.1" is. IPv4 mapped into IPv6 is the IPv4 address.
// FuzzNormalise holds that it is idempotent.
func Normalise(host string) (string, error) {
	if host == "" {
		return "", errEmptyHost
	}
	if len(host) > 4*maxHost {
		return "", errLongHost
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		if !ok || !strings.Contains(inner, ":") {
			return "", errHostForm
		}
		return normaliseIPv6(inner)
	}
	if strings.Contains(host, ":") {
		return normaliseIPv6(host)
	}
	name, err := asciiName(host)
	if err != nil {
		return "", err
	}
	if endsInNumber(name) {
		addr, ok := parseIPv4(name)
		if !ok {
			return "", errNumeric
		}
		return addr.String(), nil
	}
	return name, nil
}

func normaliseIPv6(s string) (string, error) {
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return "", errHostForm
	}
	if addr.Zone() != "" {
		return "", errZone
	}
	return addr.Unmap().String(), nil
}

// asciiName is the lower-case A-label form of a name, checked label by label.
// Underscores pass: they are in names that people use, and no resolver
// disagrees about them.
func asciiName(host string) (string, error) {
	if !isASCII(host) {
		if !utf8.ValidString(host) {
			return "", errHostIDNA
		}
		ascii, err := idna.Lookup.ToASCII(host)
		if err != nil || !isASCII(ascii) {
			return "", errHostIDNA
		}
		host = ascii
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if name == "" {
		return "", errEmptyHost
	}
	if len(name) > maxHost {
		return "", errLongHost
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return "", errBadLabel
		}
		for i := range len(label) {
			if !nameByte(label[i]) {
				return "", errHostForm
			}
		}
	}
	return name, nil
}

func nameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// endsInNumber says whether the last label is digits or a hexadecimal number,
// which no top-level domain is: such a host is an address or nothing.
func endsInNumber(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(last, "0123456789") == ""
}

// parseIPv4 reads the forms of inet_aton(3): each part decimal, 0octal or
// 0xhex; the last part fills the bytes that the others leave.
func parseIPv4(s string) (netip.Addr, bool) {
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var value uint64
	for i, part := range parts {
		n, ok := parseIPv4Part(part)
		if !ok {
			return netip.Addr{}, false
		}
		if i < len(parts)-1 {
			if n > 0xff {
				return netip.Addr{}, false
			}
			value = value<<8 | n
			continue
		}
		room := 8 * (5 - len(parts))
		if n >= 1<<room {
			return netip.Addr{}, false
		}
		value = value<<room | n
	}
	return netip.AddrFrom4([4]byte{byte(value >> 24), byte(value >> 16), byte(value >> 8), byte(value)}), true
}

func parseIPv4Part(part string) (uint64, bool) {
	base := 10
	switch {
	case strings.HasPrefix(part, "0x"):
		part, base = part[2:], 16
		if part == "" { // "0x" is zero to those who take it at all
			part = "0"
		}
	case len(part) > 1 && part[0] == '0':
		part, base = part[1:], 8
	}
	n, err := strconv.ParseUint(part, base, 64)
	return n, err == nil
}
