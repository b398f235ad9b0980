package datachannel

// An idSet is a set of streams. The zero value is empty, and takes memory when
// something is added.
type idSet struct{ bits *[(1 << 16) / 64]uint64 }

func (s *idSet) has(id uint16) bool { return s.bits != nil && s.bits[id/64]&(1<<(id%64)) != 0 }

func (s *idSet) add(id uint16) {
	if s.bits == nil {
		s.bits = new([(1 << 16) / 64]uint64)
	}
	s.bits[id/64] |= 1 << (id % 64)
}

func (s *idSet) remove(id uint16) {
	if s.bits != nil {
		s.bits[id/64] &^= 1 << (id % 64)
	}
}
