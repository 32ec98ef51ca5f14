package gateway

import (
	"errors"
	"io"
	"sync"
)

// uploading is a request's body on its way up.
type uploading struct {
	io.ReadCloser
	stream *stream

	mu    sync.Mutex // guards the rest
	ended bool       // nothing more goes up
	roomy int        // bytes of frameMemory
}

// Close gives up what was not read to its end.
func (u *uploading) Close() error {
	defer u.over()
	return u.ReadCloser.Close()
}

func (u *uploading) Read(b []byte) (int, error) {
	if !u.fits(len(b)) {
		to := u.stream.way.to
		why := tooMuch(errFrames.Error()).at(to.host, to.port)
		u.stream.pass.cut(why)
		return 0, why
	}
	n, err := u.ReadCloser.Read(b)
	if err != nil {
		defer u.over()
	}
	u.stream.reading.Store(true)
	u.stream.expiry.moved()
	leaving := n
	if errors.Is(err, io.EOF) {
		leaving += headSize(u.stream.r.Trailer)
	}
	if refused := u.stream.pass.spend(leaving); refused != nil {
		return 0, refused
	}
	return n, err
}

// over says that nothing more goes up.
func (u *uploading) over() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.ended {
		u.ended = true
		u.stream.inspector.frames.give(u.roomy)
		close(u.stream.sent)
	}
}

// errFrames is why a body is not sent to an origin of which others take much
// room already.
var errFrames = errors.New("too many bodies are under way to servers that want large frames")

// fits takes the room for what the body is read with. net/http reads it with as
// much as the origin wants of a frame, up to 512 KiB, and keeps that as long as
// the origin takes nothing (TestLargeFrames).
func (u *uploading) fits(size int) bool {
	if size <= usualBody {
		return true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended || u.roomy > 0 {
		return true
	}
	if !u.stream.inspector.frames.take(size) {
		return false
	}
	u.roomy = size
	return true
}
