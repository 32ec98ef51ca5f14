package workspace

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/tree"
)

// errSource marks a failure to read: the file is left out, the copy goes on.
type errSource struct{ error }

func (e errSource) Unwrap() error { return e.error }

// file copies one regular file: its content, permission bits and times.
func (w *worker) file(p *place) error {
	// Between the look and the opening it may have become a fifo: not to
	// wait for its other end, hence O_NONBLOCK.
	src, err := unix.Openat(p.src, p.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return w.unread(p.path, err)
	}
	defer func() { _ = unix.Close(src) }()
	if err := unix.Fstat(src, &p.stat); err != nil || p.stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return w.unread(p.path, errors.Join(err, errors.ErrUnsupported))
	}
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	dst, err := unix.Openat(p.dst, p.name, flags, 0o600)
	if err != nil {
		return p.failure("create", err)
	}
	err = w.fill(p, src, dst)
	if closed := unix.Close(dst); err == nil {
		err = closed // a network file system says here that the disk is full
	}
	if err == nil {
		w.added.Files++
		return p.failure("set the time of", setTimes(p.dst, p.name, &p.stat))
	}
	_ = unix.Unlinkat(p.dst, p.name, 0)
	var reading errSource
	if errors.As(err, &reading) {
		return w.unread(p.path, err)
	}
	return p.failure("write", err)
}

func (w *worker) fill(p *place, src, dst int) error {
	if err := w.content(p, src, dst); err != nil {
		return err
	}
	return tree.Give(dst, fs.FileMode(p.stat.Mode).Perm(), w.owner)
}

// content copies what is in a file, sharing blocks where the file system can,
// and leaving holes where the source has them.
func (w *worker) content(p *place, src, dst int) error {
	size := p.stat.Size
	if size > 0 && w.clone.try(src, dst, &p.stat) {
		w.added.Bytes += size
		return nil
	}
	if size > bufferSize && p.stat.Blocks*512 < size {
		return w.sparse(src, dst, size)
	}
	if size > bufferSize {
		_, err := w.span(src, dst, 0, size)
		return err
	}
	return w.stream(src, dst, size)
}

// stream copies a small file, or one whose size the file system does not say,
// to its end.
func (w *worker) stream(src, dst int, size int64) error {
	for done := int64(0); ; {
		n, err := read(src, w.buffer)
		if err != nil {
			return errSource{err}
		}
		if n == 0 {
			return nil
		}
		if err := write(dst, w.buffer[:n]); err != nil {
			return err
		}
		if err := w.wrote(n); err != nil {
			return err
		}
		if done += int64(n); done == size {
			return nil // as long as it was: spare the read that says so
		}
	}
}

// wrote counts bytes; of a big file the crew is told on the way.
func (w *worker) wrote(n int) error {
	w.added.Bytes += int64(n)
	if w.added.Bytes >= 64<<20 {
		w.count(w.added)
		w.added = Report{}
	}
	return w.ctx.Err()
}

// plain copies length bytes from offset on by reading and writing, and returns
// how many there were.
func (w *worker) plain(src, dst int, offset, length int64) (int64, error) {
	for done := int64(0); done < length; {
		n, err := pread(src, w.buffer[:min(int64(len(w.buffer)), length-done)], offset+done)
		if err != nil {
			return done, errSource{err}
		}
		if n == 0 {
			return done, nil // it became shorter
		}
		if err := pwrite(dst, w.buffer[:n], offset+done); err != nil {
			return done, err
		}
		done += int64(n)
		if err := w.wrote(n); err != nil {
			return done, err
		}
	}
	return length, nil
}

func read(fd int, buffer []byte) (n int, err error) {
	for {
		if n, err = unix.Read(fd, buffer); !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

func pread(fd int, buffer []byte, offset int64) (n int, err error) {
	for {
		if n, err = unix.Pread(fd, buffer, offset); !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

func write(fd int, data []byte) error {
	for len(data) > 0 {
		n, err := unix.Write(fd, data)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		data = data[max(n, 0):]
	}
	return nil
}

func pwrite(fd int, data []byte, offset int64) error {
	for len(data) > 0 {
		n, err := unix.Pwrite(fd, data, offset)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		data, offset = data[max(n, 0):], offset+int64(max(n, 0))
	}
	return nil
}
