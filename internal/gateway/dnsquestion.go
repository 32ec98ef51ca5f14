package gateway

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// dnsQuestion is one DNS question and what to say about it.
type dnsQuestion struct {
	header dnsmessage.Header
	asked  dnsmessage.Question
	has    bool // asked is there
	edns   edns
	code   dnsmessage.RCode
}

// edns is what a client says in an OPT record (RFC 6891, 6.1.3). How long an
// answer over UDP may be is of no interest: the longest, to a name of 255
// bytes, is below the 512 that every client takes (FuzzDNS).
type edns struct {
	has     bool
	version uint8
	dnssec  bool // DO, which the answer repeats (RFC 3225, 3)
}

// badVersion answers a version of EDNS that is unknown. Its upper bits travel in
// the OPT record.
const badVersion dnsmessage.RCode = 16

// parseQuestion reads a message; false for what must not be answered at all
// (an answer, or less than a header). A message of another form than one
// question and at most one OPT record gets FORMERR, whatever a server of names
// might make of it (RFC 1035, 4.1; RFC 9619; RFC 6891, 6.1.1).
func parseQuestion(message []byte) (dnsQuestion, bool) {
	var p dnsmessage.Parser
	header, err := p.Start(message)
	if err != nil || header.Response {
		return dnsQuestion{}, false
	}
	q := dnsQuestion{header: header}
	formed := q.read(&p)
	switch {
	case header.OpCode != 0:
		q.code, q.has = dnsmessage.RCodeNotImplemented, false
	case !formed:
		q.code = dnsmessage.RCodeFormatError
	case q.edns.version > 0:
		q.code = badVersion
	case !q.has:
		q.code = dnsmessage.RCodeFormatError
	}
	return q, true
}

// read takes the question and the OPT record, as far as they are well formed,
// and says whether all is.
func (q *dnsQuestion) read(p *dnsmessage.Parser) bool {
	asked, err := p.AllQuestions()
	if err != nil {
		return false
	}
	if len(asked) == 1 {
		q.asked, q.has = asked[0], true
	}
	formed := len(asked) < 2
	// A question brings no answers; what is there might be anything.
	if _, err := p.AnswerHeader(); !errors.Is(err, dnsmessage.ErrSectionDone) {
		return false
	}
	if _, err := p.AuthorityHeader(); !errors.Is(err, dnsmessage.ErrSectionDone) {
		return false
	}
	for {
		h, err := p.AdditionalHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return formed
		}
		if err != nil {
			return false
		}
		if h.Type != dnsmessage.TypeOPT {
			if p.SkipAdditional() != nil {
				return false
			}
			continue
		}
		formed = q.edns.read(p, h) && formed
	}
}

// read takes one OPT record, and says whether it may be there as it is.
func (e *edns) read(p *dnsmessage.Parser, h dnsmessage.ResourceHeader) bool {
	first := !e.has
	e.has = true // so that the answer has one too, whatever becomes of this one
	r, err := p.UnknownResource()
	if err != nil || !first || h.Name.Length != 1 || !wholeOptions(r.Data) {
		return false
	}
	const versionAt, dnssecOK = 16, 1 << 15
	e.version, e.dnssec = uint8(h.TTL>>versionAt), h.TTL&dnssecOK != 0 //nolint:gosec // G115: the one byte that it is
	return true
}

// wholeOptions says whether data is options of EDNS and nothing else (RFC 6891,
// 6.1.2). What they say is left alone.
func wholeOptions(data []byte) bool {
	for len(data) > 0 {
		if len(data) < 4 {
			return false
		}
		size := 4 + int(binary.BigEndian.Uint16(data[2:]))
		if size > len(data) {
			return false
		}
		data = data[size:]
	}
	return true
}

// kind is the type that is asked for, and its class unless that is IN.
func (q dnsQuestion) kind() string {
	kind := strings.TrimPrefix(q.asked.Type.String(), "Type")
	if q.asked.Class != dnsmessage.ClassINET {
		kind = strings.TrimPrefix(q.asked.Class.String(), "Class") + " " + kind
	}
	return kind
}

// reply is the answer with q's code, and with address where it is asked for.
// The question comes back byte for byte: some clients mix upper and lower case
// to know their answers by.
func (q dnsQuestion) reply(address netip.Addr) ([]byte, error) {
	const inHeader = 0xf // of a code; the rest is in the OPT record
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{
		ID: q.header.ID, Response: true, OpCode: q.header.OpCode, RecursionDesired: q.header.RecursionDesired,
		RecursionAvailable: true, CheckingDisabled: q.header.CheckingDisabled, RCode: q.code & inHeader,
	})
	b.EnableCompression()
	if q.has {
		if err := errors.Join(b.StartQuestions(), b.Question(q.asked)); err != nil {
			return nil, err
		}
	}
	if q.code == dnsmessage.RCodeSuccess {
		if err := q.answerWith(&b, address); err != nil {
			return nil, err
		}
	}
	if q.edns.has {
		var h dnsmessage.ResourceHeader
		err := errors.Join(
			b.StartAdditionals(),
			h.SetEDNS0(dnsUDPSize, q.code, q.edns.dnssec),
			b.OPTResource(h, dnsmessage.OPTResource{}),
		)
		if err != nil {
			return nil, err
		}
	}
	return b.Finish()
}

// answerWith adds the gateway's address for its own family; every other type
// of an allowed name exists and is empty.
func (q dnsQuestion) answerWith(b *dnsmessage.Builder, address netip.Addr) error {
	h := dnsmessage.ResourceHeader{Name: q.asked.Name, Class: dnsmessage.ClassINET, TTL: dnsTTL}
	switch {
	case q.asked.Type == dnsmessage.TypeA && address.Is4():
		return errors.Join(b.StartAnswers(), b.AResource(h, dnsmessage.AResource{A: address.As4()}))
	case q.asked.Type == dnsmessage.TypeAAAA && address.Is6():
		return errors.Join(b.StartAnswers(), b.AAAAResource(h, dnsmessage.AAAAResource{AAAA: address.As16()}))
	default:
		return nil
	}
}
