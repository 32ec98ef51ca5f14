//go:build !linux

package gateway

// harden does nothing where bottles do not run.
func harden() error {
	quietly()
	return nil
}

func confineSelf() error { return nil }

func confineHost() error { return nil }
