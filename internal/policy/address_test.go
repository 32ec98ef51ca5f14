package policy

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestAddresses(t *testing.T) {
	own := []netip.Addr{netip.MustParseAddr("93.184.216.10"), netip.MustParseAddr("2606:2800:220:1::10"), netip.MustParseAddr("fe80::1%eth0")}
	p := compile(t)
	for _, tt := range []struct {
		addr  string
		allow bool
	}{
		{"93.184.216.34", true},
		{"1.1.1.1", true},
		{"2606:2800:220:1::34", true},
		{"2a00:1450::1", true},

		{"0.0.0.0", false},
		{"0.1.2.3", false},
		{"10.0.0.1", false},
		{"100.64.0.1", false},
		{"100.63.255.255", true},
		{"100.128.0.0", true},
		{"127.0.0.1", false},
		{"127.255.255.255", false},
		{"169.254.169.254", false},
		{"172.15.255.255", true},
		{"172.16.0.0", false},
		{"172.31.255.255", false},
		{"172.32.0.0", true},
		{"192.0.0.1", false},
		{"192.0.0.9", true},
		{"192.0.0.170", false},
		{"192.0.2.1", false},
		{"192.31.196.1", true},
		{"192.88.99.1", false},
		{"192.168.1.1", false},
		{"198.17.255.255", true},
		{"198.18.0.1", false},
		{"198.19.255.255", false},
		{"198.51.100.1", false},
		{"203.0.113.1", false},
		{"224.0.0.1", false},
		{"239.255.255.255", false},
		{"240.0.0.1", false},
		{"255.255.255.255", false},

		{"::", false},
		{"::1", false},
		{"::ffff:127.0.0.1", false},
		{"::ffff:93.184.216.34", true},
		{"::127.0.0.1", false}, // IPv4-compatible, deprecated
		{"::93.184.216.34", false},
		{"64:ff9b::7f00:1", false},
		{"64:ff9b::a00:1", false},
		{"64:ff9b::5db8:d822", true},
		{"64:ff9b::5db8:d80a", false}, // the host's own, translated
		{"64:ff9b::a83f:8110", false}, // 168.63.129.16, translated
		{"64:ff9b:1::1", false},
		{"100::1", false},
		{"100:0:0:1::1", false},
		{"2001::1", false},
		{"2001:0:5db8:d822::1", false}, // Teredo
		{"2001:1::1", true},
		{"2001:1::9", false},
		{"2001:2::1", false},
		{"2001:3::1", true},
		{"2001:4:112::1", true},
		{"2001:10::1", false},
		{"2001:20::1", true},
		{"2001:db8::1", false},
		{"2002:7f00:1::1", false}, // 6to4
		{"2002:5db8:d822::1", false},
		{"2620:4f:8000::1", true},
		{"3fff::1", false},
		{"4000::1", false}, // unallocated
		{"5f00::1", false},
		{"fc00::1", false},
		{"fd12::1", false},
		{"fe80::1", false},
		{"fe80::1%eth0", false},
		{"fec0::1", false},
		{"ff02::1", false},

		{"93.184.216.10", false}, // the host's own
		{"::ffff:93.184.216.10", false},
		{"2606:2800:220:1::10", false},
		{"168.63.129.16", false},
		{"168.63.129.17", true},
	} {
		d := p.DecideAddress("a.example", netip.MustParseAddr(tt.addr), own)
		if d.Allow != tt.allow || d.Rule == "" || d.Reason == "" {
			t.Errorf("%s: %+v, want %v", tt.addr, d, tt.allow)
		}
	}
	if d := p.DecideAddress("a.example", netip.Addr{}, nil); d.Allow {
		t.Errorf("no address: %+v", d)
	}
}

func TestPrivateLifts(t *testing.T) {
	own := []netip.Addr{netip.MustParseAddr("93.184.216.10")}
	p, err := Compile(Egress{Private: []netip.Prefix{
		netip.MustParsePrefix("10.20.7.9/16"), // masked
		netip.MustParsePrefix("93.184.216.10/32"),
		netip.MustParsePrefix("168.63.129.16/32"),
		netip.MustParsePrefix("fd00::/8"),
		netip.MustParsePrefix("::ffff:172.16.0.0/108"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]bool{
		"10.20.0.9": true, "10.21.0.1": false, "::ffff:10.20.0.9": true, "64:ff9b::a14:9": true, "64:ff9b::a15:9": false,
		"93.184.216.10": true, "168.63.129.16": true, "fd00::1": true, "fc00::1": false, "172.16.1.1": true, "172.32.0.1": true, "127.0.0.1": false,
	} {
		if d := p.DecideAddress("a.example", netip.MustParseAddr(addr), own); d.Allow != want {
			t.Errorf("%s: %+v, want %v", addr, d, want)
		}
	}
}

// Every row decides about its own first and last address, unless a narrower
// row says otherwise.
func TestRegistryRows(t *testing.T) {
	p := compile(t)
	rows := append(slices.Clone(special4[:]), special6[:]...)
	for _, row := range rows {
		if row.prefix != row.prefix.Masked() || row.source == "" || row.name == "" {
			t.Errorf("%+v", row)
		}
		first := row.prefix.Addr()
		if narrow, _ := special(first); narrow.prefix != row.prefix {
			continue
		}
		if row.prefix == nat64 { // also judged by what it carries
			continue
		}
		if d := p.DecideAddress("a.example", first, nil); d.Allow != row.reachable {
			t.Errorf("%v: %+v", row.prefix, d)
		}
	}
}

func TestAddressDecisionsAreNamedAndBlindToForm(t *testing.T) {
	p := compile(t)
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "v4")
		v4 := netip.AddrFrom4([4]byte(b))
		mapped := netip.AddrFrom16(v4.As16())
		want := p.DecideAddress("a.example", v4, nil)
		if got := p.DecideAddress("a.example", mapped, nil); got != want {
			t.Fatalf("%v: %+v, mapped %+v", v4, want, got)
		}
		n := nat64.Addr().As16()
		copy(n[12:], b)
		if got := p.DecideAddress("a.example", netip.AddrFrom16(n), nil); got.Allow != want.Allow {
			t.Fatalf("%v: %+v, translated %+v", v4, want, got)
		}
		if want.Rule == "" || want.Reason == "" {
			t.Fatalf("%+v", want)
		}
	})
}

// TestDeniedAddressByName: a name that is allowed is no way around a rule that
// denies an address, not in a private range either, nor in another form.
func TestDeniedAddressByName(t *testing.T) {
	p, err := Compile(Egress{
		Allow:   []Allow{{Host: "a.example"}},
		Private: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("64:ff9b::/96")},
		Rules: []Rule{
			{Host: "10.0.0.5", Deny: true, Source: "bottle work"},
			{Host: "2606:2800:220:1::34", Deny: true},
			{Host: "10.0.0.7", Port: 22, Deny: true},
			{Host: "10.0.0.8", Methods: []string{"POST"}, Deny: true},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]string{
		"10.0.0.5": "deny 10.0.0.5 (bottle work)", "::ffff:10.0.0.5": "deny 10.0.0.5 (bottle work)",
		"64:ff9b::a00:5": "deny 10.0.0.5 (bottle work)", "2606:2800:220:1::34": "deny 2606:2800:220:1::34",
	} {
		if d := p.DecideAddress("a.example", netip.MustParseAddr(addr), nil); d.Allow || d.Rule != want || d.Remedy != "" {
			t.Errorf("%s: %+v, want %s", addr, d, want)
		}
	}
	for _, addr := range []string{"10.0.0.6", "10.0.0.7", "10.0.0.8", "64:ff9b::a00:6"} {
		if d := p.DecideAddress("a.example", netip.MustParseAddr(addr), nil); !d.Allow {
			t.Errorf("%s: %+v", addr, d)
		}
	}
}
