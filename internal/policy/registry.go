package policy

import "net/netip"

// Prefixes that carry an IPv4 address, and the only allocated global unicast
// space of IPv6.
var (
	nat64     = netip.MustParsePrefix("64:ff9b::/96")
	sixToFour = netip.MustParsePrefix("2002::/16")
	teredo    = netip.MustParsePrefix("2001::/32")
	unicast6  = netip.MustParsePrefix("2000::/3")
)

// block is one row of the IANA special-purpose address registries. Rows whose
// "globally reachable" column says N/A count as not reachable.
type block struct {
	prefix    netip.Prefix
	reachable bool
	name      string
	source    string
}

// special finds the narrowest row that holds addr.
func special(addr netip.Addr) (block, bool) {
	rows := special6[:]
	if addr.Is4() {
		rows = special4[:]
	}
	var best block
	found := false
	for _, row := range rows {
		if row.prefix.Contains(addr) && (!found || row.prefix.Bits() > best.prefix.Bits()) {
			best, found = row, true
		}
	}
	return best, found
}

func pre(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// special4 is https://www.iana.org/assignments/iana-ipv4-special-registry,
// with multicast, which has a registry of its own.
var special4 = [...]block{
	{pre("0.0.0.0/8"), false, "this network", "RFC 791"},
	{pre("10.0.0.0/8"), false, "private use", "RFC 1918"},
	{pre("100.64.0.0/10"), false, "shared address space", "RFC 6598"},
	{pre("127.0.0.0/8"), false, "loopback", "RFC 1122"},
	{pre("169.254.0.0/16"), false, "link local", "RFC 3927"},
	{pre("172.16.0.0/12"), false, "private use", "RFC 1918"},
	{pre("192.0.0.0/24"), false, "IETF protocol assignments", "RFC 6890"},
	{pre("192.0.0.0/29"), false, "IPv4 service continuity", "RFC 7335"},
	{pre("192.0.0.8/32"), false, "IPv4 dummy address", "RFC 7600"},
	{pre("192.0.0.9/32"), true, "port control protocol anycast", "RFC 7723"},
	{pre("192.0.0.10/32"), true, "TURN anycast", "RFC 8155"},
	{pre("192.0.0.170/32"), false, "NAT64 discovery", "RFC 8880"},
	{pre("192.0.0.171/32"), false, "NAT64 discovery", "RFC 8880"},
	{pre("192.0.2.0/24"), false, "documentation", "RFC 5737"},
	{pre("192.31.196.0/24"), true, "AS112-v4", "RFC 7535"},
	{pre("192.52.193.0/24"), true, "AMT", "RFC 7450"},
	{pre("192.88.99.0/24"), false, "6to4 relay anycast, deprecated", "RFC 7526"},
	{pre("192.168.0.0/16"), false, "private use", "RFC 1918"},
	{pre("192.175.48.0/24"), true, "direct delegation AS112 service", "RFC 7534"},
	{pre("198.18.0.0/15"), false, "benchmarking", "RFC 2544"},
	{pre("198.51.100.0/24"), false, "documentation", "RFC 5737"},
	{pre("203.0.113.0/24"), false, "documentation", "RFC 5737"},
	{pre("224.0.0.0/4"), false, "multicast", "RFC 5771"},
	{pre("240.0.0.0/4"), false, "reserved", "RFC 1112"},
	{pre("255.255.255.255/32"), false, "limited broadcast", "RFC 8190"},
}

// special6 is https://www.iana.org/assignments/iana-ipv6-special-registry,
// with multicast, which has a registry of its own.
var special6 = [...]block{
	{pre("::1/128"), false, "loopback", "RFC 4291"},
	{pre("::/128"), false, "unspecified", "RFC 4291"},
	{pre("::ffff:0:0/96"), false, "IPv4-mapped", "RFC 4291"},
	{pre("64:ff9b::/96"), true, "IPv4-IPv6 translation", "RFC 6052"},
	{pre("64:ff9b:1::/48"), false, "IPv4-IPv6 translation, local use", "RFC 8215"},
	{pre("100::/64"), false, "discard only", "RFC 6666"},
	{pre("100:0:0:1::/64"), false, "dummy prefix", "RFC 9780"},
	{pre("2001::/23"), false, "IETF protocol assignments", "RFC 2928"},
	{pre("2001::/32"), false, "Teredo", "RFC 4380"},
	{pre("2001:1::1/128"), true, "port control protocol anycast", "RFC 7723"},
	{pre("2001:1::2/128"), true, "TURN anycast", "RFC 8155"},
	{pre("2001:1::3/128"), true, "DNS-SD service registration anycast", "RFC 9665"},
	{pre("2001:2::/48"), false, "benchmarking", "RFC 5180"},
	{pre("2001:3::/32"), true, "AMT", "RFC 7450"},
	{pre("2001:4:112::/48"), true, "AS112-v6", "RFC 7535"},
	{pre("2001:10::/28"), false, "ORCHID, deprecated", "RFC 4843"},
	{pre("2001:20::/28"), true, "ORCHIDv2", "RFC 7343"},
	{pre("2001:30::/28"), true, "drone remote identification", "RFC 9374"},
	{pre("2001:db8::/32"), false, "documentation", "RFC 3849"},
	{pre("2002::/16"), false, "6to4", "RFC 3056"},
	{pre("2620:4f:8000::/48"), true, "direct delegation AS112 service", "RFC 7534"},
	{pre("3fff::/20"), false, "documentation", "RFC 9637"},
	{pre("5f00::/16"), false, "segment routing", "RFC 9602"},
	{pre("fc00::/7"), false, "unique local", "RFC 4193"},
	{pre("fe80::/10"), false, "link local unicast", "RFC 4291"},
	{pre("ff00::/8"), false, "multicast", "RFC 4291"},
}
