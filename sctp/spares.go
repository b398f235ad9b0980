package sctp

const (
	maxSpares     = 64      // buffers; get searches them all
	maxSpareBytes = 1 << 20 // bytes of all buffers together
	minSpare      = 64
)

// spares keeps the buffers of messages that the program has given back, for reuse.
// Without it, messages of 16 KiB at 4 Gbit/s cause 30 000 allocations a second and a
// garbage collection every few milliseconds, which took a fifth of the receiver's
// time.
type spares struct {
	free  [][]byte
	bytes int
}

// put keeps b for reuse, unless that would exceed a bound.
func (s *spares) put(b []byte) {
	if n := cap(b); n >= minSpare && len(s.free) < maxSpares && s.bytes+n <= maxSpareBytes {
		s.free = append(s.free, b[:0])
		s.bytes += n
	}
}

// get returns an empty buffer with a capacity of n bytes or slightly more.
func (s *spares) get(n int) []byte {
	for i := len(s.free) - 1; i >= 0; i-- {
		b := s.free[i]
		if c := cap(b); c < n || c > n+n/4+minSpare {
			continue
		}
		last := len(s.free) - 1
		s.free[i], s.free[last] = s.free[last], nil
		s.free = s.free[:last]
		s.bytes -= cap(b)
		return b
	}
	return make([]byte, 0, n)
}
