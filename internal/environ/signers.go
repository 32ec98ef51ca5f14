package environ

import (
	"errors"
	"strings"

	"claude-bottle/internal/policy"
)

// SignerNames are the variables of the access key ID and of the session token
// that belong to the AWS secret access key in name: as AWS names them, beside
// the key's own.
func SignerNames(name string) ([2]string, error) {
	prefix, ok := strings.CutSuffix(name, "SECRET_ACCESS_KEY")
	if !ok {
		return [2]string{}, errors.New("the name of an AWS key's variable ends in SECRET_ACCESS_KEY, so that those of its ID and token are known")
	}
	return [2]string{prefix + "ACCESS_KEY_ID", prefix + "SESSION_TOKEN"}, nil
}

// FromEnvironment is the entry of a policy's secret that is read from the
// environment by its own name.
func FromEnvironment(s policy.Secret) (Entry, error) {
	entry := Entry{Name: s.Name, Kind: Host, Source: s.Name, Use: &s}
	if !s.SigV4 {
		return entry, nil
	}
	names, err := SignerNames(s.Name)
	if err != nil {
		return entry, err
	}
	for _, name := range names {
		entry.With = append(entry.With, Entry{Name: name, Kind: Host, Source: name})
	}
	return entry, nil
}
