package runs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/failpoint"
)

const (
	ledgerName = "ledger.json"
	// draftName is where the next ledger is written; only the holder of the
	// run's lock does, so one name is enough, and a crash leaves no heap of
	// them.
	draftName     = "ledger.json.next"
	ledgerVersion = 1
	ledgerMax     = 1 << 20 // bytes
)

// ErrDamaged says that a run's ledger cannot be read. Its resources are then
// known by their labels alone.
var ErrDamaged = errors.New("damaged ledger")

// ledger is the file's content.
type ledger struct {
	Version   int        `json:"version"`
	Run       Info       `json:"run"`
	Resources []Resource `json:"resources"`
}

// Modes of the file. One that nobody will have to look at again says so by its
// mode, which comes and goes with the content: a sweep need not read it.
const (
	modeOpen    = 0o600
	modeSettled = 0o400
)

// settled says that the run is over, and all that it had is gone.
func (l *ledger) settled() bool { return l.Run.State == Stopped && len(l.Resources) == 0 }

func (l *ledger) mode() uint32 {
	if l.settled() {
		return modeSettled
	}
	return modeOpen
}

func (l *ledger) forget(gone []Resource) {
	l.Resources = slices.DeleteFunc(l.Resources, func(resource Resource) bool { return slices.Contains(gone, resource) })
}

// write replaces the ledger in the directory dir: after a crash at any point
// there is the old one or the new one, whole and on the disk. The name of the
// failpoints begins with op.
func (l ledger) write(dir int, op string) (err error) {
	defer failpoint.Span("runs." + op)()
	data, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	if len(data) >= ledgerMax {
		return errors.New("the ledger would be longer than 1 MiB")
	}
	if err := failpoint.Hit("runs." + op + ".before-ledger"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = unix.Unlinkat(dir, draftName, 0)
		}
	}()
	if err := writeSynced(dir, draftName, append(data, '\n'), l.mode()); err != nil {
		return err
	}
	if err := failpoint.Hit("runs." + op + ".before-rename"); err != nil {
		return err
	}
	if err := unix.Renameat(dir, draftName, dir, ledgerName); err != nil {
		return &os.PathError{Op: "rename", Path: draftName, Err: err}
	}
	if err := failpoint.Hit("runs." + op + ".before-sync"); err != nil {
		return err
	}
	return syncDir(dir)
}

func writeSynced(dir int, name string, data []byte, mode uint32) error {
	_ = unix.Unlinkat(dir, name, 0) // what a crash left may not be writable
	fd, err := unix.Openat(dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return &os.PathError{Op: "create", Path: name, Err: err}
	}
	file := os.NewFile(uintptr(fd), name)
	_, err = file.Write(data)
	if err == nil {
		err = unix.Fchmod(fd, mode) // whatever the umask
	}
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// syncDir brings the names in a directory to the disk.
func syncDir(fd int) error {
	for {
		switch err := unix.Fsync(fd); {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EINVAL): // a file system that has no such thing
			return nil
		case err != nil:
			return &os.PathError{Op: "sync", Path: "the run's directory", Err: err}
		default:
			return nil
		}
	}
}

// readLedger reads the ledger in the directory dir of the run id.
// fs.ErrNotExist says that there is none, ErrDamaged that it is not one.
func readLedger(dir int, id ID) (ledger, error) {
	fd, err := unix.Openat(dir, ledgerName, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ELOOP) {
		return ledger{}, fmt.Errorf("%w: it is a link", ErrDamaged)
	}
	if err != nil {
		return ledger{}, &os.PathError{Op: "open", Path: ledgerName, Err: err}
	}
	file := os.NewFile(uintptr(fd), ledgerName)
	defer func() { _ = file.Close() }()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return ledger{}, fmt.Errorf("%w: it is not a file", ErrDamaged)
	}
	data, err := io.ReadAll(io.LimitReader(file, ledgerMax+1))
	if err != nil {
		return ledger{}, err
	}
	return decode(data, id)
}

func decode(data []byte, id ID) (ledger, error) {
	var l ledger
	if len(data) > ledgerMax {
		return l, fmt.Errorf("%w: it is longer than 1 MiB", ErrDamaged)
	}
	if err := json.Unmarshal(data, &l); err != nil {
		return l, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if l.Version > ledgerVersion {
		return l, fmt.Errorf("%w: version %d, written by a newer claude-bottle", ErrDamaged, l.Version)
	}
	if l.Version < 1 || l.Run.ID != id {
		return l, fmt.Errorf("%w: it is not the ledger of run %s", ErrDamaged, id)
	}
	return l, nil
}
