package gateway

import (
	"bufio"
	"errors"
	"io"
	"strings"
)

// Messages are read strictly (RFC 9112): lines end in CRLF and in nothing
// else, a field's name touches its colon, no field is folded, no byte is a
// control. What two parsers could read differently is what request smuggling
// is made of, so it is refused rather than mended (TestSmuggling,
// FuzzRequestHead).
var (
	errHeadSize  = errors.New("the head is too long")
	errLineEnd   = errors.New("a line of the head does not end in CR LF")
	errEmptyLine = errors.New("the message begins with an empty line")
	errField     = errors.New("a header field is malformed")
	errFields    = errors.New("there are too many header fields")
	errStartLine = errors.New("the first line is malformed")
	errVersion   = errors.New("only HTTP/1.0 and HTTP/1.1 are spoken here")
)

// readHead reads up to the empty line that ends a head and returns the lines
// before it, each with its CRLF. io.EOF means that nothing came. A head of more
// than smallHead bytes asks grow whether it may be one, up to maxHead; a nil
// grow says no.
func readHead(br *bufio.Reader, grow func() bool) (string, error) {
	var block []byte
	most := smallHead
	for start := 0; ; {
		part, err := br.ReadSlice('\n')
		block = append(block, part...)
		if len(block) > most {
			if len(block) > maxHead || grow == nil || !grow() {
				return "", errHeadSize
			}
			most = maxHead
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			if errors.Is(err, io.EOF) && len(block) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return "", err
		}
		line := block[start:]
		if len(line) < 2 || line[len(line)-2] != '\r' {
			return "", errLineEnd
		}
		if len(line) == 2 {
			if start == 0 {
				return "", errEmptyLine
			}
			return string(block[:start]), nil
		}
		start = len(block)
	}
}

// field is one header field, as it was written.
type field struct{ name, value string }

type fields []field

// is says whether the field has a name, which is given in lower case.
func (f field) is(name string) bool { return strings.EqualFold(f.name, name) }

// get returns the first value of a field and how many fields have that name.
func (fs fields) get(name string) (value string, count int) {
	for _, f := range fs {
		if f.is(name) {
			if count == 0 {
				value = f.value
			}
			count++
		}
	}
	return value, count
}

// has says whether a comma-separated field holds a token.
func (fs fields) has(name, token string) bool {
	for _, f := range fs {
		if !f.is(name) {
			continue
		}
		for part := range strings.SplitSeq(f.value, ",") {
			if strings.EqualFold(strings.Trim(part, " \t"), token) {
				return true
			}
		}
	}
	return false
}

func parseFields(block string) (fields, error) {
	var fs fields
	for block != "" {
		line, rest, ok := strings.Cut(block, "\r\n")
		if !ok {
			return nil, errLineEnd
		}
		block = rest
		name, value, ok := strings.Cut(line, ":")
		if !ok || !isToken(name) {
			return nil, errField
		}
		value = strings.Trim(value, " \t")
		if !isFieldValue(value) {
			return nil, errField
		}
		if len(fs) == maxFields {
			return nil, errFields
		}
		fs = append(fs, field{name, value})
	}
	return fs, nil
}

// request is the head of a request.
type request struct {
	method, target string
	minor          int // of HTTP/1
	fields         fields
}

func parseRequest(block string) (request, error) {
	line, rest, ok := strings.Cut(block, "\r\n")
	if !ok {
		return request{}, errLineEnd
	}
	method, line, ok1 := strings.Cut(line, " ")
	target, version, ok2 := strings.Cut(line, " ")
	if !ok1 || !ok2 || !isToken(method) || len(method) > 32 || !isTarget(target) {
		return request{}, errStartLine
	}
	r := request{method: method, target: target}
	switch version {
	case "HTTP/1.1":
		r.minor = 1
	case "HTTP/1.0":
	default:
		return request{}, errVersion
	}
	var err error
	r.fields, err = parseFields(rest)
	return r, err
}

// response is the head of a response.
type response struct {
	status int
	reason string
	minor  int
	fields fields
	// resized says that the length of the body is another than upstream says,
	// and not known.
	resized bool
}

func parseResponse(block string) (response, error) {
	line, rest, ok := strings.Cut(block, "\r\n")
	if !ok {
		return response{}, errLineEnd
	}
	version, line, _ := strings.Cut(line, " ")
	code, reason, _ := strings.Cut(line, " ")
	r := response{reason: reason}
	switch version {
	case "HTTP/1.1":
		r.minor = 1
	case "HTTP/1.0":
	default:
		return response{}, errVersion
	}
	if len(code) != 3 || code[0] < '1' || code[0] > '5' || !isDigits(code) || !isFieldValue(reason) {
		return response{}, errStartLine
	}
	r.status = int(code[0]-'0')*100 + int(code[1]-'0')*10 + int(code[2]-'0')
	var err error
	r.fields, err = parseFields(rest)
	return r, err
}

// isToken is RFC 9110, 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}

// isTarget takes what is visible, and bytes beyond ASCII, which some clients
// leave as they are; never a space, a control or a fragment.
func isTarget(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == 0x7f || c == '#' {
			return false
		}
	}
	return s != ""
}

func isFieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
