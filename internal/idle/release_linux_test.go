package idle

import (
	"crypto/x509"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// What is resident of the program's file falls, and the program goes on.
func TestRelease(t *testing.T) {
	_, _ = x509.SystemCertPool() // code and tables that nothing needs afterwards
	before := residentOfFiles(t)
	Release()
	after := residentOfFiles(t)
	if after > before/2 {
		t.Errorf("%d KiB of files are resident, of %d", after, before)
	}
	if _, err := x509.SystemCertPool(); err != nil {
		t.Error(err)
	}
}

// residentOfFiles is in KiB.
func residentOfFiles(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "RssFile:"); ok {
			n, err := strconv.Atoi(strings.Fields(value)[0])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("there is no RssFile")
	return 0
}

// Nothing is let go of that is not in a file as it is in memory.
func TestUnchanged(t *testing.T) {
	const smaps = `00400000-00b18000 r-xp 00000000 08:01 77   /bin/program
Rss:                5856 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
00b18000-01228000 r--p 00718000 08:01 77   /bin/program
Anonymous:            12 kB
01228000-012b1000 rw-p 00e28000 08:01 77   /bin/program
Anonymous:             0 kB
012b1000-012c0000 r--p 00000000 00:00 0 
Anonymous:             0 kB
7f0000000000-7f0000001000 r-xp 00000000 08:01 78   /lib/of a library
Anonymous:             0 kB
7ffd1000-7ffd0000 r-xp 00000000 08:01 78   /lib/upside down
Anonymous:             0 kB
`
	want := []mapping{{0x400000, 0xb18000}, {0x7f0000000000, 0x7f0000001000}}
	if found := unchanged(strings.NewReader(smaps)); !slices.Equal(found, want) {
		t.Errorf("found %x", found)
	}
}
