package dtls

import (
	"math/bits"
	"slices"
)

// Limits of what is kept of messages that are not yet whole. Anybody who can
// send us a datagram can fill these.
const (
	maxAhead      = 8        // messages after the next one; the longest flight has six
	maxReassembly = 48 << 10 // bytes of all messages together
)

// A reassembler puts handshake messages together from fragments that come in
// any order, twice, overlapping or cut anew (RFC 6347 §4.2.3).
type reassembler struct {
	next    uint32 // message_seq that pop gives next; 1<<16: there are no more
	pending []*partial
	size    int // bytes that pending holds
}

// A partial is a message of which some bytes are there.
type partial struct {
	typ    handshakeType
	seq    uint16
	epoch  uint16
	length int
	body   []byte // up to the furthest byte there is
	have   []byte // a bit for each byte of body: it is there; nil if the message came in one piece
	count  int    // bits that are set
}

func (p *partial) whole() bool { return p.count == p.length }

// mark notes that the bytes [from, to) are there.
func (p *partial) mark(from, to int) {
	for i := from; i < to; i++ {
		if i%8 == 0 && i+8 <= to { // most, and all of them at once
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

// size is what p holds in memory, in bytes.
func (p *partial) size() int { return len(p.body) + len(p.have) }

// add takes a fragment that a record of epoch brought. It tells whether there
// was a place for it.
func (r *reassembler) add(epoch uint16, f fragment) bool {
	if uint32(f.seq) < r.next || uint32(f.seq)-r.next > maxAhead || f.length > maxMessage {
		return false
	}
	p := r.find(uint32(f.seq))
	if p != nil && p.epoch < epoch {
		// What a protected record says counts more than what anybody could
		// have written in plaintext.
		r.remove(p)
		p = nil
	}
	if p != nil && p.epoch == 0 && epoch == 0 && p.differs(f) {
		// One of the two is not the far end's. It is more likely to be there
		// again, whole, than whoever put in something else.
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

// usualMessage is up to what length a message has its place at once, in bytes:
// a ClientHello with a post-quantum key share is a little shorter.
const usualMessage = 2048

// differs tells whether f is of another message than p.
func (p *partial) differs(f fragment) bool { return p.typ != f.typ || p.length != f.length }

// contradicts tells whether f cannot belong to what is there of its message.
func (r *reassembler) contradicts(f fragment) bool {
	p := r.find(uint32(f.seq))
	return p != nil && p.differs(f)
}

// store copies the bytes of f into p, if the limits allow.
func (r *reassembler) store(p *partial, f fragment) bool {
	end := f.offset + len(f.data)
	switch {
	case p.whole() && p.body != nil:
		return true // it is there already
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

// makeRoom finds n more bytes for p. Messages further ahead than p give way,
// so that the one needed next can always be completed.
func (r *reassembler) makeRoom(p *partial, n int) bool {
	for r.size+n > maxReassembly {
		far := p
		for _, q := range r.pending {
			if q.seq > far.seq {
				far = q
			}
		}
		if far == p {
			return false
		}
		r.remove(far)
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

// dropPlaintext drops what came in epoch 0, once the far end has keys.
func (r *reassembler) dropPlaintext() {
	r.pending = slices.DeleteFunc(r.pending, func(p *partial) bool {
		if p.epoch == 0 {
			r.size -= p.size()
		}
		return p.epoch == 0
	})
}

// pop returns the next message once it is whole.
func (r *reassembler) pop() (m message, ok bool) {
	p := r.find(r.next)
	if p == nil || !p.whole() {
		return m, false
	}
	r.remove(p)
	if len(r.pending) == 0 {
		r.pending = nil // for long, after the handshake
	}
	r.next++
	return message{p.typ, p.seq, p.epoch, p.body}, true
}
