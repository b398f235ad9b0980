package sctp

import "math/bits"

// A tsnSet is a set of TSNs: a ring with a bit for each TSN. The range of the members
// must be smaller than the ring. The search for the next member examines 64 TSNs at a
// time.
type tsnSet []uint64

func (s tsnSet) index(tsn chunkTSN) uint { return uint(tsn) & uint(len(s)*64-1) }

func (s tsnSet) add(tsn chunkTSN) { i := s.index(tsn); s[i/64] |= 1 << (i % 64) }

func (s tsnSet) remove(tsn chunkTSN) { i := s.index(tsn); s[i/64] &^= 1 << (i % 64) }

// next returns the first member from tsn onwards, if it is before end. Otherwise it
// returns end.
func (s tsnSet) next(tsn, end chunkTSN) chunkTSN {
	for tsn.before(end) {
		i := s.index(tsn)
		if word := s[i/64] >> (i % 64); word != 0 {
			if tsn += chunkTSN(bits.TrailingZeros64(word)); tsn.before(end) {
				return tsn
			}
			break
		}
		tsn += chunkTSN(64 - i%64)
	}
	return end
}
