package dtls

import "slices"

// Limits of what is kept of messages that are not yet whole. Anybody who can
// send us a datagram can fill these.
const (
	maxAhead       = 8        // messages after the next one; the longest flight has six
	maxReassembly  = 48 << 10 // bytes of all messages together
	maxSpansPerMsg = 64       // separate pieces of one message
)

// A reassembler puts handshake messages together from fragments that come in
// any order, twice, overlapping or cut anew (RFC 6347 §4.2.3).
type reassembler struct {
	next    uint16 // message_seq that pop gives next
	pending []*partial
	size    int // bytes of all bodies in pending
}

// A span is the half-open range of bytes [from, to).
type span struct{ from, to int }

// A partial is a message of which some bytes are there.
type partial struct {
	typ    handshakeType
	seq    uint16
	epoch  uint16
	length int
	body   []byte // up to the furthest byte there is
	have   []span // sorted, disjoint, not touching
}

func (p *partial) whole() bool {
	return p.length == 0 || len(p.have) == 1 && p.have[0] == span{0, p.length}
}

// add takes a fragment that a record of epoch brought. It tells whether there
// was a place for it.
func (r *reassembler) add(epoch uint16, f fragment) bool {
	if f.seq < r.next || f.seq-r.next > maxAhead || f.length > maxMessage {
		return false
	}
	p := r.find(f.seq)
	if p != nil && p.epoch < epoch {
		// What a protected record says counts more than what anybody could
		// have written in plaintext.
		r.remove(p)
		p = nil
	}
	if p == nil {
		p = &partial{typ: f.typ, seq: f.seq, epoch: epoch, length: f.length}
		r.pending = append(r.pending, p)
	}
	if p.epoch != epoch || p.typ != f.typ || p.length != f.length {
		return false
	}
	return r.store(p, f)
}

// store copies the bytes of f into p, if the limits allow.
func (r *reassembler) store(p *partial, f fragment) bool {
	end := f.offset + len(f.data)
	if grow := end - len(p.body); grow > 0 {
		if !r.makeRoom(p, grow) {
			return false
		}
		p.body = append(p.body, make([]byte, grow)...)
		r.size += grow
	}
	have, ok := addSpan(p.have, span{f.offset, end})
	if !ok {
		return false
	}
	p.have = have
	copy(p.body[f.offset:], f.data)
	return true
}

// makeRoom finds n more bytes for p. Messages further ahead than p give way,
// so that the one needed next can always be completed.
func (r *reassembler) makeRoom(p *partial, n int) bool {
	for r.size+n > maxReassembly {
		far := p
		for _, q := range r.pending {
			if q.seq-r.next > far.seq-r.next {
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

func (r *reassembler) find(seq uint16) *partial {
	for _, p := range r.pending {
		if p.seq == seq {
			return p
		}
	}
	return nil
}

func (r *reassembler) remove(p *partial) {
	r.size -= len(p.body)
	r.pending = slices.DeleteFunc(r.pending, func(q *partial) bool { return q == p })
}

// dropPlaintext drops what came in epoch 0, once the far end has keys.
func (r *reassembler) dropPlaintext() {
	r.pending = slices.DeleteFunc(r.pending, func(p *partial) bool {
		if p.epoch == 0 {
			r.size -= len(p.body)
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
	r.next++
	return message{p.typ, p.seq, p.epoch, p.body}, true
}

// addSpan merges s into list. It fails if the list would get too long.
func addSpan(list []span, s span) ([]span, bool) {
	if s.from == s.to {
		return list, true
	}
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
	if i == j && len(list) >= maxSpansPerMsg {
		return list, false
	}
	return slices.Replace(list, i, j, s), true
}
