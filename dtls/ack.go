package dtls

import (
	"cmp"
	"encoding/binary"
	"slices"
	"time"
)

// Acknowledgements of DTLS 1.3 (RFC 9147 §7). An ACK names records. Before the version
// is known none is sent: a peer of DTLS 1.2 would not understand it.

// maxAcks bounds the record numbers that an ackQueue keeps: the newest.
const maxAcks = 32

// A recordNumber names a record (RFC 9147 §4).
type recordNumber struct {
	epoch uint64
	seq   uint64
}

const recordNumberLen = 16

func parseRecordNumber(b []byte) recordNumber {
	return recordNumber{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

func (a recordNumber) compare(b recordNumber) int {
	return cmp.Or(cmp.Compare(a.epoch, b.epoch), cmp.Compare(a.seq, b.seq))
}

// parseAck returns the record numbers in the payload of an ACK of the given epoch.
func parseAck(epoch uint16, payload []byte) (numbers []byte, err error) {
	if len(payload) < 2 || int(binary.BigEndian.Uint16(payload)) != len(payload)-2 || (len(payload)-2)%recordNumberLen != 0 {
		return nil, errDecode
	}
	numbers = payload[2:]
	for b := numbers; len(b) > 0; b = b[recordNumberLen:] {
		// RFC 9147 §7: during the handshake, an ACK has at least the epoch of the
		// records that it names. So an ACK in plaintext, which an attacker can send,
		// acknowledges only hellos.
		if n := parseRecordNumber(b); n.epoch > uint64(epoch) && epoch < epochData {
			return nil, fatal(AlertDecodeError, "ACK in epoch %d of a record in epoch %d", epoch, n.epoch)
		}
	}
	return numbers, nil
}

// An ackState says when an ackQueue has its next ACK sent.
type ackState uint8

const (
	ackNone    ackState = iota // an ACK has named all records
	ackNew                     // a record is in no ACK yet, and no time is set
	ackDelayed                 // the ACK is sent at ackQueue.at
	ackReady                   // the ACK is to be sent now
)

// An ackQueue holds the records with handshake messages that were received and no local
// flight has answered.
type ackQueue struct {
	numbers []recordNumber
	state   ackState
	at      time.Time // if delayed
}

// add queues a record for the next ACK.
func (q *ackQueue) add(h *recordHeader) {
	n := recordNumber{uint64(h.epoch), h.seq}
	if slices.Contains(q.numbers, n) {
		return // in epoch 0, which has no replay window
	}
	if len(q.numbers) == maxAcks {
		q.numbers = slices.Delete(q.numbers, 0, 1)
	}
	q.numbers = append(q.numbers, n)
	q.state = max(q.state, ackNew)
}

// arm decides when the ACK is sent, if there is a record for it. last says that the
// record completed the handshake. timeout is the current retransmission timeout.
func (q *ackQueue) arm(now time.Time, last bool, timeout time.Duration) {
	switch {
	case q.state == ackNone:
	case last:
		// RFC 9147 §7.1: a final flight, which nothing answers, is acknowledged at
		// once. Repetitions of it may be in several datagrams, and the peer does not
		// wait for their ACK, so these are delayed.
		q.state = ackReady
	case q.state == ackNew:
		// The rest of the flight, or another message, may follow. RFC 9147 §7.1: a
		// quarter of the retransmission timer.
		q.state, q.at = ackDelayed, now.Add(timeout/4)
	}
}

// nextTimeout returns when advance has to be called; zero: never.
func (q *ackQueue) nextTimeout() time.Time {
	if q.state != ackDelayed {
		return time.Time{}
	}
	return q.at
}

// advance ends the delay of an ACK.
func (q *ackQueue) advance(now time.Time) {
	if q.state == ackDelayed && !now.Before(q.at) {
		q.state = ackReady
	}
}

// append appends the ACK if it is ready, in at most limit bytes. sizeLimit is the
// peer's limit on the size of records. After the handshake no local flight
// acknowledges the peer's messages implicitly, and this ACK may be lost. So the
// numbers of their records stay in the queue and are sent again with the next ACK.
func (q *ackQueue) append(dst []byte, limit int, l *recordLayer, sizeLimit uint16) ([]byte, error) {
	w := l.current
	room := min(limit-w.overhead(), w.maxPayload(sizeLimit))
	n := min(len(q.numbers), (room-2)/recordNumberLen)
	if q.state != ackReady || n <= 0 {
		return dst, nil
	}
	start := len(dst)
	b := w.begin(dst)
	b = binary.BigEndian.AppendUint16(b, uint16(n*recordNumberLen))
	// RFC 9147 §7: in numerically increasing order.
	newest := slices.Clone(q.numbers[len(q.numbers)-n:])
	slices.SortFunc(newest, recordNumber.compare)
	for _, a := range newest {
		b = binary.BigEndian.AppendUint64(b, a.epoch)
		b = binary.BigEndian.AppendUint64(b, a.seq)
	}
	q.state = ackNone
	return l.seal(w, typeACK, b, start)
}
