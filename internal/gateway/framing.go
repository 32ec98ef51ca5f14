package gateway

import (
	"errors"
	"strconv"
	"strings"
)

// framing is how a message's body is delimited.
type framing struct {
	chunked    bool
	untilClose bool  // responses only
	length     int64 // otherwise
}

func (f framing) empty() bool { return !f.chunked && !f.untilClose && f.length == 0 }

var (
	errTwoLengths = errors.New("the message has more than one length")
	errLength     = errors.New("the Content-Length is not a number")
	errEncoding   = errors.New(`only "chunked" is a transfer encoding here, once, and not in HTTP/1.0`)
)

// frame reads the framing of a message with fields fs; known is false when
// they do not say. Two lengths, equal or not, and a length beside an encoding
// are errors (RFC 9112, 6.3; CVE-2019-16276 and its many kin).
func frame(fs fields, minor int) (f framing, known bool, err error) {
	length, lengths := fs.get("content-length")
	encoding, encodings := fs.get("transfer-encoding")
	switch {
	case lengths+encodings > 1:
		return framing{}, false, errTwoLengths
	case encodings == 1:
		if minor == 0 || !strings.EqualFold(encoding, "chunked") {
			return framing{}, false, errEncoding
		}
		return framing{chunked: true}, true, nil
	case lengths == 1:
		if !isDigits(length) || len(length) > 18 {
			return framing{}, false, errLength
		}
		n, err := strconv.ParseInt(length, 10, 64)
		if err != nil {
			return framing{}, false, errLength
		}
		return framing{length: n}, true, nil
	default:
		return framing{}, false, nil
	}
}

// body is the framing of a request; without a word there is no body.
func (r request) body() (framing, error) {
	f, _, err := frame(r.fields, r.minor)
	return f, err
}

// body is the framing of the response to a request with method.
func (r response) body(method string) (framing, error) {
	f, known, err := frame(r.fields, r.minor)
	switch {
	case err != nil:
		return framing{}, err
	case method == "HEAD", r.status/100 == 1, r.status == 204, r.status == 304:
		return framing{}, nil
	case !known:
		return framing{untilClose: true}, nil
	default:
		return f, nil
	}
}
