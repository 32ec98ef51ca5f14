package environ

import "crypto/rand"

// Decoys are the secrets of a bottle that shall have none: of each brokered
// entry a random value that nobody knows, so that all that surrounds secrets
// is there; of the others nothing.
func Decoys(entries []Entry) (Secrets, error) {
	var g gathered
	for _, entry := range entries {
		if !entry.Brokered() {
			continue
		}
		var values []string
		for range entry.Names() {
			values = append(values, rand.Text()+rand.Text())
		}
		if err := g.add(entry, values); err != nil {
			return Secrets{}, err
		}
	}
	return g.secrets()
}
