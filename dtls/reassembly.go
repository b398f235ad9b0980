package dtls

import (
	"math/bits"
	"slices"
)

// Limits of messages that are not complete yet. An attacker who can send a datagram
// can use up these limits.
const (
	maxAhead      = 8        // number of messages after the next one that are stored; the longest flight has six messages
	maxReassembly = 48 << 10 // total bytes of all stored messages
)

// A reassembler assembles whole handshake messages from fragments. Fragments may
// arrive in any order, be repeated, overlap, or be split in a different way when they
// are repeated (RFC 6347 §4.2.3).
type reassembler struct {
	next      uint32 // message_seq of the message that pop returns next; 1<<16: there are no more messages
	flightEnd uint32 // message_seq that follows the peer's most recent flight; 0: the peer has sent no flight
	pending   []*partial
	size      int // bytes that pending holds
}

// A partial is a message of which at least one fragment was received.
type partial struct {
	typ    handshakeType
	seq    uint16
	epoch  uint16
	length int
	body   []byte // the message up to the last byte that was received
	have   []byte // one bit for each byte of body, set if the byte was received; nil: body arrived in one fragment
	count  int    // number of bytes that were received
}

func (p *partial) whole() bool { return p.count == p.length }

// mark notes that the bytes [from, to) were received.
func (p *partial) mark(from, to int) {
	for i := from; i < to; i++ {
		if i%8 == 0 && i+8 <= to { // eight bytes in one step
			p.count += bits.OnesCount8(^p.have[i/8])
			p.have[i/8] = 0xff
			i += 7
			continue
		}
		if bit := byte(1) << (i % 8); p.have[i/8]&bit == 0 {
			p.have[i/8] |= bit
			p.count++
		}
	}
}

// size is the number of bytes of memory that p holds.
func (p *partial) size() int { return len(p.body) + len(p.have) }

// differs reports whether f cannot belong to the same message as p.
func (p *partial) differs(f fragment) bool { return p.typ != f.typ || p.length != f.length }

// contradicts reports whether f does not fit the earlier fragments with the same
// message number.
func (r *reassembler) contradicts(f fragment) bool {
	p := r.find(uint32(f.seq))
	return p != nil && p.differs(f)
}

// add stores a fragment that a record of the given epoch contained. It reports whether
// the fragment was stored.
func (r *reassembler) add(epoch uint16, f fragment) bool {
	if uint32(f.seq) < r.next || uint32(f.seq)-r.next > maxAhead || f.length > maxMessage {
		return false
	}
	p := r.find(uint32(f.seq))
	if p != nil && p.epoch < epoch {
		// An encrypted record replaces plaintext, which may come from an attacker.
		r.remove(p)
		p = nil
	}
	if p != nil && p.epoch == 0 && epoch == 0 && p.differs(f) {
		// One of the two fragments did not come from the peer. The new one is kept:
		// the peer will repeat its whole message, and an attacker is less likely to
		// repeat his.
		r.remove(p)
		p = nil
	}
	if p == nil {
		p = &partial{typ: f.typ, seq: f.seq, epoch: epoch, length: f.length}
		r.pending = append(r.pending, p)
	}
	if p.epoch != epoch || p.differs(f) {
		return false
	}
	return r.store(p, f)
}

// usualMessage is the message length in bytes up to which all memory for a message is
// allocated when its first fragment arrives. A ClientHello with a post-quantum key
// share is a little shorter.
const usualMessage = 2048

// store copies the bytes of f into p. It reports false if the limits do not allow
// that.
func (r *reassembler) store(p *partial, f fragment) bool {
	end := f.offset + len(f.data)
	switch {
	case p.whole() && p.body != nil:
		return true // f is a repetition
	case p.body == nil && len(f.data) == p.length:
		if !r.makeRoom(p, p.length) {
			return false
		}
		p.body, p.count = append([]byte{}, f.data...), p.length
		r.size += p.length
		return true
	}
	if grow := end - len(p.body); grow > 0 {
		flags := (end+7)/8 - len(p.have)
		if !r.makeRoom(p, grow+flags) {
			return false
		}
		if p.body == nil && p.length <= usualMessage {
			p.body, p.have = make([]byte, 0, p.length), make([]byte, 0, (p.length+7)/8)
		}
		p.body = append(p.body, make([]byte, grow)...)
		p.have = append(p.have, make([]byte, flags)...)
		r.size += grow + flags
	}
	p.mark(f.offset, end)
	copy(p.body[f.offset:], f.data)
	return true
}

// makeRoom makes room for n more bytes of p. If necessary, it drops messages with
// higher numbers than p, so that the next message can always be completed.
func (r *reassembler) makeRoom(p *partial, n int) bool {
	for r.size+n > maxReassembly {
		last := p
		for _, q := range r.pending {
			if q.seq > last.seq {
				last = q
			}
		}
		if last == p {
			return false
		}
		r.remove(last)
	}
	return true
}

func (r *reassembler) find(seq uint32) *partial {
	for _, p := range r.pending {
		if uint32(p.seq) == seq {
			return p
		}
	}
	return nil
}

func (r *reassembler) remove(p *partial) {
	r.size -= p.size()
	r.pending = slices.DeleteFunc(r.pending, func(q *partial) bool { return q == p })
}

// pop returns the next message if it is complete.
func (r *reassembler) pop() (m message, ok bool) {
	p := r.find(r.next)
	if p == nil || !p.whole() {
		return m, false
	}
	r.remove(p)
	if len(r.pending) == 0 {
		r.pending = nil // after the handshake the list stays empty for a long time
	}
	r.next++
	return message{p.typ, p.seq, p.epoch, p.body}, true
}

// skipTo sets the number of the next message to seq.
func (r *reassembler) skipTo(seq uint16) { r.next = uint32(seq) }

// started reports whether a fragment of the next message was received.
func (r *reassembler) started() bool { return r.find(r.next) != nil }

// endFlight notes that a local flight answers all messages that pop has returned so
// far.
func (r *reassembler) endFlight() { r.flightEnd = r.next }

// endsFlight reports whether f is the last fragment of that flight of the peer which
// was answered most recently.
func (r *reassembler) endsFlight(f fragment) bool { return uint32(f.seq)+1 == r.flightEnd && f.last() }

// dropPlaintext drops all fragments of epoch 0.
func (r *reassembler) dropPlaintext() {
	r.pending = slices.DeleteFunc(r.pending, func(p *partial) bool {
		if p.epoch == 0 {
			r.size -= p.size()
		}
		return p.epoch == 0
	})
}

// finish drops all fragments, at the end of the handshake. It reports whether one of
// them was encrypted, which is an error: the peer has no further message to send.
func (r *reassembler) finish() (excess bool) {
	excess = slices.ContainsFunc(r.pending, func(p *partial) bool { return p.epoch > 0 })
	r.pending, r.size = nil, 0
	return excess
}
