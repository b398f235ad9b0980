package dtls

import (
	"slices"
	"time"
)

// A flight is a group of handshake messages that are sent together, and sent again
// until the peer has answered (RFC 6347 §4.2.4). It stores messages, not records.
// Each transmission splits the messages into fragments that fit the current size of
// datagrams, and encrypts them in records with new numbers.
type flight struct {
	messages []outMessage
	next     int  // index of the message to be sent next
	offset   int  // how many bytes of this message were sent
	final    bool // no flight of the peer answers this flight, so no timer runs

	sentAt       time.Time // when the most recent datagram of the flight was sent; zero: none was sent yet
	timeout      time.Duration
	retransmitAt time.Time    // when the flight is sent again; zero: no timer runs
	answered     bool         // the peer has received at least a part, so no timer runs
	timeouts     int          // how often the retransmission timer ran out
	longest      int          // bytes of the longest datagram of the flight, since the sender last shortened its datagrams
	sent         []sentRecord // records that an ACK may name (DTLS 1.3)
	// unauthenticated says that an ACK in plaintext acknowledged a part of the flight
	// (DTLS 1.3).
	unauthenticated bool
}

// An outMessage is an element of a flight: a handshake message or a ChangeCipherSpec.
type outMessage struct {
	content contentType
	epoch   uint16
	typ     handshakeType
	seq     uint16
	body    []byte
	acked   []span // the ranges of body that are acknowledged (DTLS 1.3)
	done    bool   // the whole message is acknowledged
}

// pending reports whether a part of the flight is still to be sent.
func (f *flight) pending() bool {
	if f == nil {
		return false
	}
	_, _, _, ok := f.head()
	return ok
}

// head returns the message that is sent next, and the range of its bytes that is sent
// next. It skips what is acknowledged.
func (f *flight) head() (m *outMessage, from, to int, ok bool) {
	for ; f.next < len(f.messages); f.next++ {
		m = &f.messages[f.next]
		if from, to, ok = m.missing(f.offset); ok {
			return m, from, to, true
		}
		f.offset = 0
	}
	return nil, 0, 0, false
}

// noteHead notes that the bytes before offset to of the head message were sent.
func (f *flight) noteHead(to int) {
	f.offset = to
	if to == len(f.messages[f.next].body) {
		f.next++
		f.offset = 0
	}
}

// restart makes the whole flight pending again, except for what is acknowledged.
func (f *flight) restart() { f.next, f.offset = 0, 0 }

// appendRecord appends the next record of the flight to dst. The record has at most
// limit bytes. If limit is too small, nothing is appended. sizeLimit is the peer's
// limit on the size of records. note says whether the peer may acknowledge the record.
func (f *flight) appendRecord(dst []byte, limit int, l *recordLayer, sizeLimit uint16, note bool) ([]byte, error) {
	first, _, _, ok := f.head()
	if !ok {
		return dst, nil
	}
	w := l.writeEpoch(first.epoch)
	room := min(limit-w.overhead(), w.maxPayload(sizeLimit))
	if first.content == typeChangeCipherSpec {
		if room < len(first.body) {
			return dst, nil
		}
		b := append(w.begin(dst), first.body...)
		f.noteHead(len(first.body))
		return l.seal(w, typeChangeCipherSpec, b, len(dst))
	}
	b := w.begin(dst)
	payload := len(b)
	parts := make([]sentPart, 0, len(f.messages)-f.next)
	for {
		m, from, to, ok := f.head()
		if !ok || m.content != typeHandshake || m.epoch != w.epoch {
			break
		}
		n := min(to-from, room-(len(b)-payload)-fragmentHeaderLen)
		if n < min(to-from, 1) {
			break
		}
		b = appendFragmentHeader(b, m.typ, len(m.body), m.seq, from, n)
		b = append(b, m.body[from:from+n]...)
		parts = append(parts, sentPart{f.next, from, from + n})
		f.noteHead(from + n)
		if n < to-from {
			break
		}
	}
	if len(b) == payload {
		return dst, nil
	}
	if note {
		f.noteSent(recordNumber{uint64(w.epoch), w.next}, parts)
	}
	return l.seal(w, typeHandshake, b, len(dst))
}

// maxSentRecords is the maximum number of sent records that a flight remembers. A
// flight in small datagrams has fewer records, even if it is sent a few times.
const maxSentRecords = 128

// A sentRecord says what a sent record of the flight contained. It is needed because
// ACKs name records, not messages (RFC 9147 §7).
type sentRecord struct {
	number recordNumber
	parts  []sentPart
}

// A sentPart is the range of bytes [from, to) of the message with this index in the
// flight.
type sentPart struct{ index, from, to int }

// noteSent remembers what the record with number n contained, until the record is
// acknowledged.
func (f *flight) noteSent(n recordNumber, parts []sentPart) {
	if len(f.sent) == maxSentRecords {
		f.sent = slices.Delete(f.sent, 0, 1)
	}
	f.sent = append(f.sent, sentRecord{n, parts})
}

// acknowledge notes that the peer has received the record with number n. It reports
// whether that was not known before.
func (f *flight) acknowledge(n recordNumber) bool {
	i := slices.IndexFunc(f.sent, func(s sentRecord) bool { return s.number == n })
	if i < 0 {
		return false
	}
	for _, p := range f.sent[i].parts {
		f.messages[p.index].acknowledge(p.from, p.to)
	}
	f.sent = slices.Delete(f.sent, i, i+1)
	return true
}

// acknowledged reports whether the peer has received the whole flight.
func (f *flight) acknowledged() bool {
	return !slices.ContainsFunc(f.messages, func(m outMessage) bool { return !m.done })
}

// revertUnauthenticated makes those parts pending again that an ACK in plaintext may
// have acknowledged. An attacker can have sent that ACK although the record was lost.
// So such an ACK saves a retransmission only until the timer runs out.
func (f *flight) revertUnauthenticated() {
	for i := range f.messages {
		if m := &f.messages[i]; f.unauthenticated && m.epoch == 0 {
			m.acked, m.done = nil, false
		}
	}
	f.unauthenticated = false
}

// acknowledge notes that the peer has received the bytes [from, to) of the message.
func (m *outMessage) acknowledge(from, to int) {
	m.acked = addSpan(m.acked, span{from, to})
	m.done = m.done || len(m.body) == 0 || len(m.acked) == 1 && m.acked[0] == span{0, len(m.body)}
}

// missing returns the first range of bytes, at or after offset, that is not
// acknowledged.
func (m *outMessage) missing(offset int) (from, to int, ok bool) {
	if m.done {
		return 0, 0, false
	}
	for _, s := range m.acked {
		if offset < s.from {
			return offset, s.from, true
		}
		offset = max(offset, s.to)
	}
	return offset, len(m.body), offset < len(m.body) || len(m.body) == 0
}

// A span is the half-open range of bytes [from, to).
type span struct{ from, to int }

// addSpan merges s into list. The spans in list are sorted and do not touch each
// other.
func addSpan(list []span, s span) []span {
	i := 0
	for i < len(list) && list[i].to < s.from {
		i++
	}
	j := i
	for j < len(list) && list[j].from <= s.to {
		s.from = min(s.from, list[j].from)
		s.to = max(s.to, list[j].to)
		j++
	}
	return slices.Replace(list, i, j, s)
}
