package policy

import "strings"

// Spelled is an entry of an allowlist, or the host of a rule, with a name beyond
// ASCII as it is compared and looked up: a person is to see which name is meant,
// and letters of other alphabets look like ours (TestLettersThatLookAlike). What
// is no host stays as it is.
func Spelled(entry string) string {
	if isASCII(entry) {
		return entry
	}
	host, port, err := splitPort(entry)
	if err != nil {
		return entry
	}
	below := ""
	if name, wild := strings.CutPrefix(host, "*."); wild {
		below, host = "*.", name
	}
	if host, err = Normalise(host); err != nil {
		return entry
	}
	if port == 0 {
		return below + host
	}
	return below + listing(host, port)
}
