package docker

import (
	"os"
	"strings"
)

// sourcesUnchecked says that the host takes packets without asking where they
// come from: net.ipv4.conf.{all,default}.rp_filter are both 0, the larger of
// which a new bridge goes by (Documentation/networking/ip-sysctl.rst). What a
// bottle then sends to everybody (255.255.255.255, 224.0.0.1) reaches the
// host's UDP services, one way, though the host has no address on the run's
// bridge. Neither the Engine API nor a filter on calls can stop that.
func sourcesUnchecked() bool {
	for _, name := range []string{"all", "default"} {
		value, err := os.ReadFile("/proc/sys/net/ipv4/conf/" + name + "/rp_filter")
		if err != nil || strings.TrimSpace(string(value)) != "0" {
			return false
		}
	}
	return true
}
