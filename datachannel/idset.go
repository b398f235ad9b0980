package datachannel

// An idSet is a set of stream ids. The zero value is an empty set. It takes memory
// only when an id is added.
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
