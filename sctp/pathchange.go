package sctp

// A pathChange distinguishes packets of the old path that are still in flight after
// ChangePath. They are acknowledged like any others, but say nothing about the new
// path's round trip or rate, and their loss is no sign of congestion on it (RFC 9000
// §9.4 has the same rule for QUIC).
type pathChange struct {
	known    bool // the path has changed, and some chunk up to until is not acknowledged yet
	active   bool // chunks that were sent on the old path are in flight
	until    chunkTSN
	last     chunkTSN  // if active: the last of these chunks in the list of chunks in flight
	first    sendOrder // first packet of the new path
	patience int64     // how long an acknowledgement could take on the old path, in ns
}

// old reports whether a packet took the old path.
func (c *pathChange) old(order sendOrder) bool { return c.known && order.before(c.first) }

// changePath discards what was measured on the old path.
func (s *sender) changePath(now instant, mtu int, control CongestionControl, seed uint32) {
	if o := &s.out; !o.empty() {
		patience := max(int64(s.rto.srtt+4*s.rto.rttvar), o.change.patience)
		o.change = pathChange{known: true, until: o.end - 1, first: s.order + 1, active: o.flying > 0, last: o.tail, patience: patience}
	}
	s.rto.reset()
	s.rate = rateSampler{firstAt: now, deliveredAt: now}
	s.recovery = recoveryState{limited: s.recovery.limited}
	s.mtu = mtu
	s.cc = control.newController(mtu, seed)
	s.pacer, s.paced = pacer{}, 0
	s.reorder, s.probe = 0, 0
}

// allOldPath reports whether everything in flight was sent on the old path.
func (o *outstanding) allOldPath() bool { return o.change.active && o.change.last == o.tail }

// firstOfPath returns the chunk in flight that was sent first on the present path.
// Chunks of the old path are before it in the list.
func (o *outstanding) firstOfPath() (tsn chunkTSN, ok bool) {
	if o.flying == 0 || o.allOldPath() {
		return 0, false
	}
	if o.change.active {
		return o.at(o.change.last).next, true
	}
	return o.head, true
}

// leaveOldPath notes that a chunk is about to leave the list of chunks in flight.
func (o *outstanding) leaveOldPath(tsn chunkTSN, c *sentChunk) {
	if o.change.active && tsn == o.change.last {
		if o.change.last = c.prev; tsn == o.head {
			o.change.active, o.change.patience = false, 0
		}
	}
}

// detectOldPath declares chunks of the old path lost. Only time shows their loss,
// because no later packet takes that path.
func (s *sender) detectOldPath(now instant, wait int64) {
	for s.out.change.active {
		c := s.out.at(s.out.head)
		if at := c.at + max(wait, s.out.change.patience); now < at {
			s.armReorder(at)
			return
		}
		s.trace.lost(now, s.out.head, c)
		s.out.markLost(s.out.head, c)
	}
}
