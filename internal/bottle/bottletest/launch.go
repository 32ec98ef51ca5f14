package bottletest

import "testing"

func launchRows() []row { return nil }
func execRows() []row {
	return []row{{"x", func(t *testing.T, s *suite) { prints(t, s.bottle, "hi\n", "echo hi") }}}
}
func terminalRows() []row     { return nil }
func provisioningRows() []row { return nil }
func nameRows() []row         { return nil }
func secretRows() []row       { return nil }
func teardownRows() []row     { return nil }
func sweepRows() []row        { return nil }
