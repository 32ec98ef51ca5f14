package preset

import (
	"slices"
	"strings"
)

// said is one thing that a client's configuration says of where it fetches
// from. What of an address may be secret is gone from it, so it can be kept.
type said struct {
	// Host is empty where what is fetched from is a directory.
	Host string `json:"host,omitempty"`
	Port int    `json:"port,omitempty"`
	// Trusted says that who publishes there is chosen: see [Host.Open].
	Trusted bool `json:"trusted,omitempty"`
	// By is the file, or the variable, that says it.
	By string `json:"by"`
	// Replaces says that it takes the place of the public registry.
	Replaces bool `json:"replaces,omitempty"`
}

// say is what an address comes to.
func say(url, by string, replaces bool) (said, error) {
	host, err := hostOf(url)
	return said{Host: host.Host, Port: host.Port, By: by, Replaces: replaces}, err
}

// sayAll is say for several.
func sayAll(urls []string, by string, replaces bool) ([]said, error) {
	var all []said
	for _, url := range urls {
		one, err := say(url, by, replaces)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// replaced says whether something takes the place of the public registry.
func replaced(all []said) bool {
	return slices.ContainsFunc(all, func(one said) bool { return one.Replaces })
}

// configured are the hosts that a client is configured for, and those of the
// file of public ones unless they are replaced. Who names a public registry gets
// all that belongs to it. image says that the client is an image's.
func configured(name string, all []said, replaced, image bool) ([]Host, error) {
	public, err := known(name)
	if err != nil {
		return nil, err
	}
	var hosts []Host
	byPublic := ""
	for _, one := range all {
		isPublic := slices.ContainsFunc(public, func(p Host) bool { return p.Host == one.Host && p.Port == one.Port })
		host := Host{Host: one.Host, Port: one.Port, Open: !one.Trusted}
		if image {
			host.Image = one.By
		}
		switch {
		case one.Host == "":
		case isPublic:
			replaced, byPublic = false, host.Image
		default:
			hosts = append(hosts, host)
		}
	}
	if !replaced {
		for _, host := range public {
			host.Image = byPublic
			hosts = append(hosts, host)
		}
	}
	return hosts, nil
}

// isRemote says whether a word is an address on another machine; others are
// "direct", "off", a path.
func isRemote(word string) bool {
	return strings.Contains(word, "://") && !strings.HasPrefix(word, "file://")
}
