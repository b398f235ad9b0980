package dtls

// A replayWindow notes which record numbers of an epoch were received
// (RFC 6347 §4.1.2.6). It covers the 256 up to the highest one, so that a reordered
// burst of segments passes.
type replayWindow struct {
	top  uint64                        // highest number received, plus one
	seen [replayWindowSize / 64]uint64 // bit i, counted over all words: top-1-i was received
}

const replayWindowSize = 256

// fresh reports whether a record with number seq may be accepted.
func (w *replayWindow) fresh(seq uint64) bool {
	if seq >= w.top {
		return true
	}
	age := w.top - 1 - seq
	return age < replayWindowSize && w.seen[age/64]>>(age%64)&1 == 0
}

// mark notes that seq was received. It must be called only for an authentic record.
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
	// In Go a shift by 64 bits or more gives zero, as a jump past the window needs.
	for i := len(w.seen) - 1; i > 0; i-- {
		w.seen[i] = w.seen[i]<<n | w.seen[i-1]>>(64-n)
	}
	w.seen[0] = w.seen[0]<<n | 1
	w.top = seq + 1
}
