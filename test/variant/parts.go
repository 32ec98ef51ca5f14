package variant

// Variants that leave a bottle open, or break a way out of it.
var (
	GuestUnfiltered = Variant{{
		"internal/guest/guest.go", "err := policy.Apply(); err != nil",
		"err := error(nil); err != nil && policy.Name != \"\"",
	}}
	GuestDumpable = Variant{{"internal/guest/harden.go", "unix.PR_SET_DUMPABLE, 0,", "unix.PR_SET_DUMPABLE, 1,"}}

	GatewayEverywhere = Variant{{
		"internal/gateway/handed.go", "set, err := door.Receive(",
		`everywhere, _ := listenConfig().Listen(ctx, "tcp", ":3128")
		packets, _ := listenConfig().ListenPacket(ctx, "udp", ":3128")
		go func() {
			for buffer := make([]byte, 64); ; {
				n, from, err := packets.ReadFrom(buffer)
				if err != nil { return }
				packets.WriteTo(buffer[:n], from)
			}
		}()
		context.AfterFunc(ctx, func() { everywhere.Close(); packets.Close() })
		set, err := door.Receive(`,
	}}
	GatewayBare = Variant{
		{"internal/gateway/harden_linux.go", "unix.PR_SET_DUMPABLE, 0,", "unix.PR_SET_DUMPABLE, 1,"},
		{"internal/gateway/harden_linux.go", "unix.PR_SET_NO_NEW_PRIVS, 1,", "unix.PR_SET_DUMPABLE, 1,"},
		{"internal/gateway/harden_linux.go", "return confine.Gateway().Apply()", "_ = confine.Gateway; return nil"},
	}
	GatewayUnbound = Variant{{"internal/supervise/supervise.go", "return confineTo(args[3])", "_ = confineTo; return nil"}}
	GatewayAllows  = Variant{{
		"internal/policy/decide.go", "func (p *Policy) Decide(r Request) Decision {",
		"func (p *Policy) Decide(r Request) Decision {\n\tif true { return Decision{Allow: true, Host: r.Host} }",
	}}
	GatewayRefuses = Variant{{
		"internal/policy/decide.go", "func (p *Policy) Decide(r Request) Decision {",
		"func (p *Policy) Decide(r Request) Decision {\n\tif true { return Decision{Host: r.Host, Rule: RuleDefault} }",
	}}
	GatewayDeaf = Variant{
		{"internal/gateway/server.go", "s.clients.Go(func() {", "conn.Close(); continue; s.clients.Go(func() {"},
		{"internal/gateway/dns.go", "if answer := d.answer(ctx, message); answer != nil {", "if answer := d.answer(ctx, message); answer != nil && false {"},
	}
	CanaryEverywhere = Variant{{
		"internal/gateway/trial.go", "probe.Listen(ctx, leg.Addr(), boot.Word)", "probe.Listen(ctx, netip.IPv4Unspecified(), boot.Word)",
	}}
	CanaryMute = Variant{{"internal/probe/canary.go", "_, _ = conn.Write(c.word)", "_ = c.word"}}
)
