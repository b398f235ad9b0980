package sctp

// A chunkTSN is a transmission sequence number (TSN), which numbers chunks of data (RFC
// 9260 §1.5). It wraps around: compare it only with before, after and minus.
type chunkTSN uint32

// before reports whether t comes before u in serial-number arithmetic
// (RFC 9260 §1.6).
func (t chunkTSN) before(u chunkTSN) bool { return int32(t-u) < 0 }

// after reports whether t comes after u.
func (t chunkTSN) after(u chunkTSN) bool { return int32(t-u) > 0 }

// minus returns the distance from u to t, where t is not before u.
func (t chunkTSN) minus(u chunkTSN) int { return int(int32(t - u)) }

// A requestSeq numbers RE-CONFIG requests (RFC 6525 §4.1).
type requestSeq uint32

// A messageSeq is the number of a message in its stream: a stream sequence number of 16
// bits with DATA chunks, a message identifier of 32 bits with I-DATA chunks (RFC 8260
// §2.1). Only messageOrder knows which one, so only messageOrder compares and increments.
type messageSeq uint32

// messageOrder is the arithmetic of messageSeq.
type messageOrder struct{ interleaving bool }

// next returns the number after s.
func (o messageOrder) next(s messageSeq) messageSeq {
	if o.interleaving {
		return s + 1
	}
	return messageSeq(uint16(s + 1))
}

// before reports whether s comes before t.
func (o messageOrder) before(s, t messageSeq) bool {
	if o.interleaving {
		return int32(s-t) < 0
	}
	return int16(uint16(s)-uint16(t)) < 0
}
