//go:build linux

package attacks

import "context"

// Controls must get through: they show that the ways are there by which the
// attacks were refused.
func Controls() []Attack {
	var list []Attack
	for _, w := range ways() {
		list = append(list, Attack{ID: "control/" + w.name, What: w.what + ": an allowed host", try: func(ctx context.Context, t Targets) result {
			gateway, ok := t.gateway()
			if !ok || t.Allowed == "" {
				return absent("nothing is allowed")
			}
			return cameOf(w.ask(ctx, t, gateway, t.Allowed, w.port))
		}})
	}
	return list
}
