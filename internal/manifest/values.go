package manifest

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"

	"claude-bottle/internal/environ"
	"claude-bottle/internal/policy"
)

// env checks one entry, in either form.
func (c *checker) env(v visit) error {
	if v.kind == object && (v.child("secret") != nil || v.child("value") == nil) && !c.wellFormed(v.node) {
		return nil // the table, or a check of what is below, says what is wrong
	}
	_, _, err := parseEntry(entry{v.key, v.node})
	return err
}

// parseEntry reads one entry of env in any of its forms.
func parseEntry(e entry) (environ.Entry, string, error) {
	if e.value.kind == object && e.value.child("secret") != nil {
		if !isSecret(e.value) {
			return environ.Entry{}, "", errors.New("the entry is not complete") // reported by the walk
		}
		entry, err := parseSecret(e)
		return entry, "", err
	}
	if e.value.kind == object {
		entry, err := environ.ParseLiteral(e.key.text, e.value.child("value").word())
		return entry, "", err
	}
	return environ.Parse(e.key.text, e.value.word())
}

// allow asks the one that will decide.
func (c *checker) allow(v visit) error {
	_, err := policy.Compile(policy.Egress{Allow: []policy.Allow{{Host: v.text}}})
	if err == nil {
		return nil
	}
	if host, found := hostOf(v.text); found {
		return fmt.Errorf("%s is a URL; write the host alone: %q", quote(v.text), host)
	}
	if _, rangeErr := netip.ParsePrefix(v.text); rangeErr == nil {
		return fmt.Errorf("%s is a range of addresses; allowlist has hosts, and egress.private has the ranges they may be in", quote(v.text))
	}
	return errors.New(strings.TrimPrefix(err.Error(), "allowlist entry "))
}

// hostOf takes the host out of what begins like a URL.
func hostOf(s string) (string, bool) {
	_, rest, found := strings.Cut(s, "://")
	if !found {
		return "", false
	}
	host, _, _ := strings.Cut(rest, "/")
	_, err := policy.Compile(policy.Egress{Allow: []policy.Allow{{Host: host}}})
	return host, err == nil
}

func (c *checker) private(v visit) error {
	_, err := parseRange(v.text)
	return err
}

// The widest ranges that are not public: 10.0.0.0/8 and fc00::/7. A wider one
// would take in public addresses, and with them the checks on all of them.
const (
	widestIPv4 = 8
	widestIPv6 = 7
)

func parseRange(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		return netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf(`%s is not a range such as "10.20.0.0/16", nor an address`, quote(s))
	}
	widest := widestIPv4
	if prefix.Addr().Is6() {
		widest = widestIPv6
	}
	switch {
	case prefix.Addr().Is4In6():
		return netip.Prefix{}, fmt.Errorf("%s is IPv4 in the form of IPv6; write it as IPv4", quote(s))
	case prefix != prefix.Masked():
		return netip.Prefix{}, fmt.Errorf("%s has bits behind its length; did you mean %q?", quote(s), prefix.Masked())
	case prefix.Bits() < widest:
		return netip.Prefix{}, fmt.Errorf("%s is too wide: no private range is wider than /%d", quote(s), widest)
	}
	return prefix, nil
}

func (c *checker) address(v visit) error {
	if addr, err := netip.ParseAddr(v.text); err != nil || addr.Zone() != "" {
		return fmt.Errorf("%s is not an address", quote(v.text))
	}
	return nil
}

// checkHostName takes a name that can have a fixed address.
func checkHostName(name string) error {
	host, err := policy.Normalise(name)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", quote(name), err)
	case isAddress(host):
		return fmt.Errorf("%s: an address needs no resolving", quote(name))
	}
	return nil
}

// resolve refuses two spellings of one name, which only the whole shows.
func (c *checker) resolve(v visit) error {
	seen := map[string]*node{}
	for _, e := range v.entries {
		host, err := policy.Normalise(e.key.text)
		if err != nil {
			continue // reported with the key
		}
		if first := seen[host]; first != nil {
			c.problem(e.key, v.path, "%s is the same name as %s, at line %d", quote(e.key.text), quote(first.text), first.line)
			continue
		}
		seen[host] = e.key
	}
	return nil
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// proxy never quotes the value: it may hold a password.
func (c *checker) proxy(v visit) error {
	if _, err := policy.Compile(policy.Egress{Proxy: v.text}); err != nil || !c.compiled(proxyPattern).MatchString(v.text) {
		return errors.New("http://[user:password@]host:port is wanted, with a port and no path")
	}
	return nil
}

func (c *checker) ca(v visit) error {
	if v.text == "" {
		return errors.New("the name of a file is missing")
	}
	path, err := c.loader.resolvePath(v.node)
	if err != nil {
		return err
	}
	data, err := c.loader.named(v.file, path)
	if err != nil {
		return err
	}
	if _, err := certificates(data); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// resolvePath makes a path of a manifest absolute: "~" is the person's home,
// and what is relative is relative to the manifest's own directory.
func (l *loader) resolvePath(n *node) (string, error) {
	rest, tilde := strings.CutPrefix(n.text, "~")
	switch {
	case tilde && rest != "" && rest[0] != '/':
		return "", fmt.Errorf("%s: ~ stands for your own home only; write ~/ or the whole path", quote(n.text))
	case tilde && l.home == "":
		return "", fmt.Errorf("%s: there is no home directory (HOME is not set)", quote(n.text))
	case tilde:
		return filepath.Join(l.home, rest), nil
	case filepath.IsAbs(n.text):
		return filepath.Clean(n.text), nil
	default:
		return filepath.Join(filepath.Dir(n.file.Path), n.text), nil
	}
}

func (c *checker) mount(v visit) error {
	_, err := c.loader.resolvePath(v.node)
	return err
}

func (c *checker) command(v visit) error {
	if len(v.items) == 0 || v.items[0].kind == text && v.items[0].text == "" {
		return errors.New(`the program is missing: ["bash", "-l"]`)
	}
	return nil
}

// smallestMemory is what Docker takes at least.
const smallestMemory = 6 << 20

func (c *checker) memory(v visit) error {
	size, err := parseSize(v.text)
	if err == nil && size < smallestMemory {
		return fmt.Errorf("%s is too little memory: 6MiB at least", quote(v.text))
	}
	return err
}

func (c *checker) size(v visit) error {
	size, err := parseSize(v.text)
	if err == nil && size < 1 {
		return fmt.Errorf("%s leaves nothing", quote(v.text))
	}
	return err
}

// units of sizes. Docker's "512m" is left out: its m is 1024 squared, as is
// nobody else's.
var units = map[string]int64{
	"B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
	"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
}

// parseSize reads a size in bytes, fractions of a byte cut off.
func parseSize(s string) (int64, error) {
	wrong := fmt.Errorf(`%s is not a size with its unit, such as "512MB" (powers of 1000) or "4GiB" (powers of 1024)`, quote(s))
	if ok, err := regexp.MatchString(sizePattern, s); !ok || err != nil {
		return 0, wrong
	}
	digits := strings.TrimRight(s, "BkKMGTi")
	value, ok := new(big.Rat).SetString(digits)
	if !ok {
		return 0, wrong
	}
	value.Mul(value, new(big.Rat).SetInt64(units[s[len(digits):]]))
	whole := new(big.Int).Quo(value.Num(), value.Denom())
	if !whole.IsInt64() || whole.Int64() == math.MaxInt64 {
		return 0, fmt.Errorf("%s is more than any machine has", quote(s))
	}
	return whole.Int64(), nil
}
