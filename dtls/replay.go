package dtls

// A replayWindow notes which record numbers of an epoch were received (RFC 6347
// §4.1.2.6). It contains the highest received number and the 255 numbers below it, so
// that a burst of segments is accepted even if it was reordered.
type replayWindow struct {
	top  uint64                        // the highest received number plus one
	seen [replayWindowSize / 64]uint64 // if bit i is set, counted over all words, number top-1-i was received
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

// mark notes that the record with number seq was received. It must be called only for
// an authentic record.
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
	// In Go, a shift by 64 bits or more yields zero. That is the right result if seq
	// is beyond the whole window.
	for i := len(w.seen) - 1; i > 0; i-- {
		w.seen[i] = w.seen[i]<<n | w.seen[i-1]>>(64-n)
	}
	w.seen[0] = w.seen[0]<<n | 1
	w.top = seq + 1
}
