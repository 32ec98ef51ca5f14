//go:build linux

package attacks

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// past is a kind of destination that no policy of a test lets through.
type past struct {
	name  string
	what  string
	hosts func(t Targets) []string
}

func pasts() []past {
	return []past{
		{"unlisted", "a name that is on no list", func(t Targets) []string { return one(t.ElsewhereName) }},
		{"numeric", "an address in each of its spellings", func(t Targets) []string { return numeric(t.Elsewhere) }},
		{"host", "the host's own addresses in each of their spellings", func(Targets) []string {
			return append(numeric(netip.AddrFrom4([4]byte{127, 0, 0, 1})), "localhost", "localhost.", "ip6-localhost", "[::1]", "[::]", "0", "0.0.0.0")
		}},
		{"metadata", "the metadata address and its names", func(t Targets) []string {
			if !t.Metadata.IsValid() {
				return nil
			}
			return append(numeric(t.Metadata.Addr()), "metadata", "metadata.google.internal")
		}},
		{"lookalikes", "names that look like an allowed one", func(t Targets) []string { return lookalikes(t.Allowed, t.ElsewhereName) }},
		{"traps", "allowed names that lead to the host, to private and metadata addresses", func(t Targets) []string { return t.Traps }},
	}
}

func one(name string) []string {
	if name == "" {
		return nil
	}
	return []string{name}
}

// nameAttacks try each kind of destination by each way in.
func nameAttacks() []Attack {
	var list []Attack
	for _, w := range ways() {
		for _, p := range pasts() {
			list = append(list, Attack{
				ID: "names/" + w.name + "-" + p.name, What: w.what + ": " + p.what,
				try: func(ctx context.Context, t Targets) result { return askAll(ctx, t, w, p.hosts(t)) },
			})
		}
	}
	return list
}

func askAll(ctx context.Context, t Targets, w way, hosts []string) result {
	gateway, ok := t.gateway()
	if !ok || len(hosts) == 0 {
		return absent("there is nobody to ask, or for")
	}
	last := ""
	for _, host := range hosts {
		port := w.port
		if strings.HasPrefix(w.name, "h") || w.name == "absolute" {
			port = 80
		}
		open, said := w.ask(ctx, t, gateway, host, port)
		if open {
			return through("%q: %s", host, said)
		}
		last = said
	}
	return stopped("%d tried: %.120s", len(hosts), last)
}

// numeric is an IPv4 address as programs have been known to read it.
func numeric(address netip.Addr) []string {
	if !address.Is4() {
		return nil
	}
	b := address.As4()
	n := binary.BigEndian.Uint32(b[:])
	hex := fmt.Sprintf("%02x%02x:%02x%02x", b[0], b[1], b[2], b[3])
	return []string{
		address.String(), address.String() + ".", strconv.FormatUint(uint64(n), 10), fmt.Sprintf("0x%08x", n), fmt.Sprintf("0X%X", n),
		fmt.Sprintf("0%o", n), fmt.Sprintf("0%o.0%o.0%o.0%o", b[0], b[1], b[2], b[3]),
		fmt.Sprintf("0x%x.0x%x.0x%x.0x%x", b[0], b[1], b[2], b[3]),
		fmt.Sprintf("%d.%d.%d", b[0], b[1], uint32(b[2])<<8|uint32(b[3])), fmt.Sprintf("%d.%d", b[0], n&0xffffff),
		fmt.Sprintf("%03d.%03d.%03d.%03d", b[0], b[1], b[2], b[3]), fmt.Sprintf("%d.%d.%d.0x%x", b[0], b[1], b[2], b[3]),
		"[::ffff:" + address.String() + "]", "[::ffff:" + hex + "]", "[::" + hex + "]", "[64:ff9b::" + hex + "]",
		"[2002:" + hex + "::]", "[::ffff:" + hex + "%25lo]", "[::ffff:0:" + hex + "]",
		fmt.Sprintf("%d.%d.%d.%d", b[0], b[1], b[2], b[3]) + ".nip.example", // a name, and on no list
		strings.NewReplacer("0", "\uff10", "1", "\uff11", "2", "\uff12", "3", "\uff13", "9", "\uff19", ".", "\u3002").Replace(address.String()),
	}
}

// lookalikes are what careless comparisons take for an allowed name.
func lookalikes(allowed, elsewhere string) []string {
	if allowed == "" || elsewhere == "" {
		return nil
	}
	return []string{
		"x" + allowed, "x." + allowed, "." + allowed, allowed + "..", allowed + "." + elsewhere, elsewhere + "#" + allowed,
		allowed + "@" + elsewhere, elsewhere + "@" + allowed, elsewhere + "/" + allowed, elsewhere + "?" + allowed, elsewhere + "\\" + allowed,
		allowed + "\x00." + elsewhere, elsewhere + "\x00." + allowed, elsewhere + "%00." + allowed, elsewhere + "%2e" + allowed,
		elsewhere + ":80#" + allowed, allowed + " " + elsewhere, elsewhere + "\t" + allowed, elsewhere + ";" + allowed, elsewhere + "," + allowed,
		strings.Replace(allowed, "o", "0", 1), strings.Replace(allowed, "l", "\u0131", 1), strings.Replace(allowed, "a", "\u0430", 1),
		allowed[:len(allowed)-1], strings.ReplaceAll(allowed, ".", ""), "*." + allowed, "*", "xn--" + allowed,
	}
}
