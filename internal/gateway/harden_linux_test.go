package gateway

import (
	"io"
	"log"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestHarden(t *testing.T) {
	defer log.SetOutput(os.Stderr)
	if err := harden(); err != nil {
		t.Fatal(err)
	}
	if log.Writer() != io.Discard {
		t.Error("what net/http says is printed")
	}
	if dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || dumpable != 0 {
		t.Errorf("dumpable: %d, %v", dumpable, err)
	}
	if kept, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); err != nil || kept != 1 {
		t.Errorf("no new privileges: %d, %v", kept, err)
	}
	var core unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &core); err != nil || core.Max != 0 {
		t.Errorf("core dumps: %+v, %v", core, err)
	}
}
