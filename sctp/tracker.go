package sctp

import (
	"encoding/binary"
	"math/bits"
)

const (
	// maxTSNWindow bounds how far a received chunk may be beyond the cumulative TSN, and
	// how many sent chunks may be outstanding. A gap block reaches 65535 TSNs (RFC 9260
	// §3.3.4). Half of that keeps the stream sequence numbers of these chunks comparable.
	maxTSNWindow = 1 << 15

	minTrackerBits = 256

	// maxDuplicates bounds the duplicate TSNs that one SACK reports.
	maxDuplicates = 16
)

// A tracker records which TSNs were received (RFC 9260 §6.2), in a ring with a bit for
// each TSN after the cumulative one. So no order of arrival costs more than another.
type tracker struct {
	cum     chunkTSN // the cumulative TSN: all up to here were received
	highest chunkTSN // highest TSN received
	ring    []uint64 // nil until there was a gap
	dups    []chunkTSN
}

// reset begins at the TSN that the remote announced.
func (t *tracker) reset(initial chunkTSN) {
	*t = tracker{cum: initial - 1, highest: initial - 1}
}

// gaps reports whether a TSN below the highest is missing.
func (t *tracker) gaps() bool { return t.highest != t.cum }

// has reports whether tsn was received.
func (t *tracker) has(tsn chunkTSN) bool {
	if !tsn.after(t.cum) {
		return true
	}
	if tsn.after(t.highest) {
		return false
	}
	i := t.index(tsn)
	return t.ring[i/64]&(1<<(i%64)) != 0
}

// inWindow reports whether tsn is close enough to be recorded.
func (t *tracker) inWindow(tsn chunkTSN) bool { return tsn.minus(t.cum) < maxTSNWindow }

// add records the receipt of tsn, which is new and in the window.
func (t *tracker) add(tsn chunkTSN) {
	if tsn == t.cum+1 && !t.gaps() {
		t.cum, t.highest = tsn, tsn
		return
	}
	t.grow(tsn.minus(t.cum))
	i := t.index(tsn)
	t.ring[i/64] |= 1 << (i % 64)
	if tsn.after(t.highest) {
		t.highest = tsn
	}
	t.advance()
}

// duplicate records for the next SACK that tsn arrived again.
func (t *tracker) duplicate(tsn chunkTSN) {
	if len(t.dups) < maxDuplicates {
		t.dups = append(t.dups, tsn)
	}
}

// forward moves the cumulative TSN to cum (RFC 3758 §3.6).
func (t *tracker) forward(cum chunkTSN) {
	if !cum.before(t.highest) {
		if t.gaps() {
			clear(t.ring)
		}
		t.cum, t.highest = cum, cum
		return
	}
	for tsn := t.cum + 1; !tsn.after(cum); {
		i := t.index(tsn)
		n := min(64-int(i%64), cum.minus(tsn)+1)
		t.ring[i/64] &^= (1<<n - 1) << (i % 64)
		tsn += chunkTSN(n)
	}
	t.cum = cum
	t.advance()
}

// advance moves the cumulative TSN over received TSNs.
func (t *tracker) advance() {
	for t.cum != t.highest {
		i := t.index(t.cum + 1)
		if t.ring[i/64]&(1<<(i%64)) == 0 {
			return
		}
		t.ring[i/64] &^= 1 << (i % 64)
		t.cum++
	}
}

// trim releases memory if nothing is missing.
func (t *tracker) trim() {
	if !t.gaps() {
		t.ring = nil
	}
	if len(t.dups) == 0 {
		t.dups = nil
	}
}

func (t *tracker) index(tsn chunkTSN) uint { return uint(tsn) & uint(len(t.ring)*64-1) }

// grow makes the ring large enough for n TSNs after the cumulative one.
func (t *tracker) grow(n int) {
	if n < len(t.ring)*64 {
		return
	}
	old := *t
	size := minTrackerBits
	for size <= n {
		size *= 2
	}
	t.ring = make([]uint64, size/64)
	if len(old.ring) == 0 {
		return
	}
	for tsn := old.cum + 1; !tsn.after(old.highest); tsn++ {
		if old.has(tsn) {
			i := t.index(tsn)
			t.ring[i/64] |= 1 << (i % 64)
		}
	}
}

// find returns the first TSN, from tsn onwards, with a bit that equals want. If there
// is none, it returns the TSN after the highest. Beyond the highest TSN every bit is
// clear.
func (t *tracker) find(tsn chunkTSN, want bool) chunkTSN {
	end := t.highest + 1
	for tsn.before(end) {
		i := t.index(tsn)
		word := t.ring[i/64]
		if !want {
			word = ^word
		}
		if n := bits.TrailingZeros64(word >> (i % 64)); n < 64-int(i%64) {
			tsn += chunkTSN(n)
			break
		}
		tsn += chunkTSN(64 - i%64)
	}
	if tsn.after(end) {
		return end
	}
	return tsn
}

// appendSack appends a SACK chunk (RFC 9260 §3.3.4) with as many gap blocks as fit,
// and with the duplicates since the last SACK. The chunk may have at most room bytes.
func (t *tracker) appendSack(b []byte, aRwnd uint32, room int) []byte {
	b, start := beginChunk(b, chunkSack, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(t.cum))
	b = binary.BigEndian.AppendUint32(b, aRwnd)
	b = append(b, 0, 0, 0, 0)
	room = (room - sackHeaderSize) / 4
	blocks := 0
	if t.gaps() {
		for tsn := t.find(t.cum+1, true); !tsn.after(t.highest) && blocks < room; blocks++ {
			end := t.find(tsn, false)
			b = binary.BigEndian.AppendUint16(b, uint16(tsn-t.cum))
			b = binary.BigEndian.AppendUint16(b, uint16(end-1-t.cum))
			tsn = t.find(end, true)
		}
	}
	dups := min(len(t.dups), max(room-blocks, 0))
	for _, tsn := range t.dups[:dups] {
		b = binary.BigEndian.AppendUint32(b, uint32(tsn))
	}
	t.dups = t.dups[:0]
	binary.BigEndian.PutUint16(b[start+12:], uint16(blocks))
	binary.BigEndian.PutUint16(b[start+14:], uint16(dups))
	return endChunk(b, start)
}
