package dtls

// A replayWindow remembers which record numbers of an epoch were seen
// (RFC 6347 §4.1.2.6): the 256 up to the highest one, so that a burst of
// segments that a network reordered still passes.
type replayWindow struct {
	top  uint64                        // highest number seen, plus one
	seen [replayWindowSize / 64]uint64 // bit i of all: top-1-i was seen
}

const replayWindowSize = 256

// fresh tells whether seq may still be accepted.
func (w *replayWindow) fresh(seq uint64) bool {
	if seq >= w.top {
		return true
	}
	age := w.top - 1 - seq
	return age < replayWindowSize && w.seen[age/64]>>(age%64)&1 == 0
}

// mark notes seq as seen. It must be called only for a record that
// authenticated.
func (w *replayWindow) mark(seq uint64) {
	if seq < w.top {
		if age := w.top - 1 - seq; age < replayWindowSize {
			w.seen[age/64] |= 1 << (age % 64)
		}
		return
	}
	n := seq + 1 - w.top
	for ; n >= 64 && w.seen != [replayWindowSize / 64]uint64{}; n -= 64 {
		copy(w.seen[1:], w.seen[:])
		w.seen[0] = 0
	}
	// Go defines a shift by the width or more as zero, which is what a jump
	// past the window needs.
	for i := len(w.seen) - 1; i > 0; i-- {
		w.seen[i] = w.seen[i]<<n | w.seen[i-1]>>(64-n)
	}
	w.seen[0] = w.seen[0]<<n | 1
	w.top = seq + 1
}
