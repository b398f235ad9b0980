package dtls

import (
	"cmp"
	"encoding/binary"
	"slices"
	"time"
)

// Acknowledgements of DTLS 1.3 (RFC 9147 §7). An ACK lists the numbers of records
// that were received. No ACK is sent before the version is known, because a peer that
// speaks DTLS 1.2 would not understand it.

// maxAcks is the maximum number of record numbers that an ackQueue keeps. The oldest
// are dropped.
const maxAcks = 32

// A recordNumber identifies a record by its epoch and its sequence number (RFC 9147
// §4).
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

// parseAck returns the record numbers in the payload of an ACK that arrived in the
// given epoch.
func parseAck(epoch uint16, payload []byte) (numbers []byte, err error) {
	if len(payload) < 2 || int(binary.BigEndian.Uint16(payload)) != len(payload)-2 || (len(payload)-2)%recordNumberLen != 0 {
		return nil, errDecode
	}
	numbers = payload[2:]
	for b := numbers; len(b) > 0; b = b[recordNumberLen:] {
		// RFC 9147 §7: during the handshake, the epoch of an ACK is not lower than
		// the epochs of the records that it names. So an ACK in plaintext, which an
		// attacker can send, acknowledges only hellos.
		if n := parseRecordNumber(b); n.epoch > uint64(epoch) && epoch < epochData {
			return nil, fatal(AlertDecodeError, "ACK in epoch %d of a record in epoch %d", epoch, n.epoch)
		}
	}
	return numbers, nil
}

// An ackState says whether and when an ackQueue sends its next ACK.
type ackState uint8

const (
	ackNone    ackState = iota // every record was named in an ACK
	ackNew                     // a record was not named in an ACK yet, and no time is set for the next ACK
	ackDelayed                 // the ACK is sent at ackQueue.at
	ackReady                   // the ACK is to be sent immediately
)

// An ackQueue holds the numbers of received records that contain handshake messages,
// until a local flight answers these messages.
type ackQueue struct {
	numbers []recordNumber
	state   ackState
	at      time.Time // when the ACK is sent, in state ackDelayed
}

// add queues the number of a record for the next ACK.
func (q *ackQueue) add(h *recordHeader) {
	n := recordNumber{uint64(h.epoch), h.seq}
	if slices.Contains(q.numbers, n) {
		return // a repetition: epoch 0 has no replay window
	}
	if len(q.numbers) == maxAcks {
		q.numbers = slices.Delete(q.numbers, 0, 1)
	}
	q.numbers = append(q.numbers, n)
	q.state = max(q.state, ackNew)
}

// arm decides when the ACK is sent, if a record waits for it. last says that the
// record completed the handshake. timeout is the current retransmission timeout.
func (q *ackQueue) arm(now time.Time, last bool, timeout time.Duration) {
	switch {
	case q.state == ackNone:
	case last:
		// RFC 9147 §7.1: a final flight, which no flight answers, is acknowledged
		// immediately. When the peer repeats that flight, it may use several
		// datagrams, and it does not wait for their ACK. So the ACK of a repetition is
		// delayed.
		q.state = ackReady
	case q.state == ackNew:
		// The rest of the flight, or another message, may follow. So the ACK waits for
		// a quarter of the retransmission timeout, as RFC 9147 §7.1 recommends.
		q.state, q.at = ackDelayed, now.Add(timeout/4)
	}
}

// nextTimeout returns the time at which advance has to be called; zero: never.
func (q *ackQueue) nextTimeout() time.Time {
	if q.state != ackDelayed {
		return time.Time{}
	}
	return q.at
}

// advance makes a delayed ACK ready if its time has come.
func (q *ackQueue) advance(now time.Time) {
	if q.state == ackDelayed && !now.Before(q.at) {
		q.state = ackReady
	}
}

// append appends the ACK to dst if it is ready. The ACK has at most limit bytes.
// sizeLimit is the peer's limit on the size of records. After the handshake, no local
// flight acknowledges the peer's messages implicitly, and this ACK may be lost. So the
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
	// RFC 9147 §7: the record numbers are in numerically increasing order.
	newest := slices.Clone(q.numbers[len(q.numbers)-n:])
	slices.SortFunc(newest, recordNumber.compare)
	for _, a := range newest {
		b = binary.BigEndian.AppendUint64(b, a.epoch)
		b = binary.BigEndian.AppendUint64(b, a.seq)
	}
	q.state = ackNone
	return l.seal(w, typeACK, b, start)
}
