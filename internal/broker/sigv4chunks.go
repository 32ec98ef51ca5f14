package broker

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// MaxChunk is the largest signed chunk, in bytes, that is signed anew: a
// chunk's signature stands before it, so that all of it must be held. Clients
// send 64 KiB, 128 KiB or 1 MiB.
const MaxChunk = 1 << 20

const maxTrailers = 4 << 10

var (
	errChunk    = errors.New("a signed chunk is malformed")
	errBigChunk = errors.New("a signed chunk is larger than 1 MiB")
	errChunkSig = errors.New("a chunk's signature was not made with the placeholder")
)

// emptyHash is the SHA-256 of nothing.
const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// ChunkSigner checks and signs anew the chunks of a body that Amazon S3 calls
// aws-chunked. It is for one body.
type ChunkSigner struct {
	fake, real         []byte // keys
	fakePrior, rePrior string // signatures before
	date, scope        string
	trailer            bool
}

func newChunkSigner(fake, real []byte, seed, signed, date, scope string, trailer bool) *ChunkSigner {
	return &ChunkSigner{fake, real, seed, signed, date, scope, trailer}
}

// String hides the keys.
func (*ChunkSigner) String() string { return "(a chunk signer)" }

// GoString is String.
func (c *ChunkSigner) GoString() string { return c.String() }

// Copy reads a body from in and writes it, of the same length, to out. On an
// error the body must not be ended as if it were whole.
func (c *ChunkSigner) Copy(out io.Writer, in io.Reader) error {
	r := bufio.NewReaderSize(in, 4<<10)
	var chunk []byte
	for {
		size, sig, err := readChunkHead(r)
		if err != nil {
			return fmt.Errorf("sign a chunk: %w", err)
		}
		if cap(chunk) < size {
			chunk = make([]byte, size)
		}
		chunk = chunk[:size]
		if _, err := io.ReadFull(r, chunk); err != nil {
			return fmt.Errorf("read a signed chunk: %w", err)
		}
		if size > 0 || !c.trailer {
			if err := readEnd(r); err != nil {
				return err
			}
		}
		fresh, err := c.next("AWS4-HMAC-SHA256-PAYLOAD", emptyHash+"\n", chunk, sig)
		if err != nil {
			return err
		}
		end := "\r\n"
		if size == 0 && c.trailer {
			end = ""
		}
		if _, err := fmt.Fprintf(out, "%x;chunk-signature=%s\r\n%s%s", size, fresh, chunk, end); err != nil {
			return err
		}
		if size == 0 {
			return c.last(out, r)
		}
	}
}

// last copies what follows the last chunk: nothing, or signed trailers.
func (c *ChunkSigner) last(out io.Writer, r *bufio.Reader) error {
	if c.trailer {
		if err := c.trailers(out, r); err != nil {
			return err
		}
	}
	if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
		if err == nil {
			err = errChunk
		}
		return err
	}
	return nil
}

// trailers are fields that end with the signature of those before it.
func (c *ChunkSigner) trailers(out io.Writer, r *bufio.Reader) error {
	var fields, canonical bytes.Buffer
	for fields.Len() < maxTrailers {
		line, err := r.ReadString('\n')
		if err != nil {
			return fmt.Errorf("read signed trailers: %w", io.ErrUnexpectedEOF)
		}
		line = strings.TrimRight(line, "\r\n")
		sig, ok := strings.CutPrefix(line, "x-amz-trailer-signature:")
		if !ok {
			name, value, found := strings.Cut(line, ":")
			if !found || name != strings.ToLower(name) {
				return errChunk
			}
			fields.WriteString(line + "\r\n")
			canonical.WriteString(name + ":" + strings.TrimSpace(value) + "\n")
			continue
		}
		fresh, err := c.next("AWS4-HMAC-SHA256-TRAILER", "", canonical.Bytes(), strings.TrimSpace(sig))
		if err != nil {
			return err
		}
		end, err := r.ReadString('\n')
		if err != nil || end != "\r\n" {
			return errChunk
		}
		_, err = fmt.Fprintf(out, "%sx-amz-trailer-signature:%s\r\n\r\n", fields.Bytes(), fresh)
		return err
	}
	return errChunk
}

// next checks a signature over data, and is the real one. Each covers the one
// before.
func (c *ChunkSigner) next(kind, before string, data []byte, sig string) (string, error) {
	sum := sha256.Sum256(data)
	over := func(key []byte, prior string) string {
		return hex.EncodeToString(mac(key, kind+"\n"+c.date+"\n"+c.scope+"\n"+prior+"\n"+before+hex.EncodeToString(sum[:])))
	}
	if !hmac.Equal([]byte(over(c.fake, c.fakePrior)), []byte(sig)) {
		return "", errChunkSig
	}
	c.fakePrior, c.rePrior = sig, over(c.real, c.rePrior)
	return c.rePrior, nil
}

// readChunkHead reads "size;chunk-signature=…".
func readChunkHead(r *bufio.Reader) (int, string, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, "", err
	}
	head, sig, ok := strings.Cut(strings.TrimSuffix(string(line), "\r\n"), ";chunk-signature=")
	if !ok || head == "" || len(head) > 8 || len(sig) != 64 {
		return 0, "", errChunk
	}
	size, err := strconv.ParseUint(head, 16, 32)
	switch {
	case err != nil:
		return 0, "", errChunk
	case size > MaxChunk:
		return 0, "", errBigChunk
	}
	return int(size), sig, nil
}

func readEnd(r *bufio.Reader) error {
	var end [2]byte
	if _, err := io.ReadFull(r, end[:]); err != nil {
		return fmt.Errorf("read a signed chunk: %w", err)
	}
	if end != [2]byte{'\r', '\n'} {
		return errChunk
	}
	return nil
}
