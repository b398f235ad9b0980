package sctp

import "time"

// A pathChange is the time after ChangePath in which packets of the old path are
// still under way. They are acknowledged like any others, but tell nothing of
// the new path: neither its round trip nor its rate, and their loss is not its
// congestion (RFC 9000 §9.4, which says of QUIC what holds here too).
type pathChange struct {
	known    bool // until everything up to until is acknowledged
	active   bool // some are in flight, and last is the last one of them in the list
	until    chunkTSN
	last     chunkTSN
	first    sendOrder // of the new path
	patience int64     // how long an acknowledgement could take on the old path
}

// old reports whether a packet took the old path.
func (m *pathChange) old(order sendOrder) bool { return m.known && order.before(m.first) }

// ChangePath tells that from now on packets take another path, of which nothing is
// known. The estimates of the round trip and of the rate, the congestion window
// and the packet size begin as for a new association (RFC 9260 §7.2.1 and §6.3.1
// C1, which keep them for each destination address). What was sent before is
// awaited for as long as it took on the old path; where that is dead, PathLost
// comes first. SetRTT may tell the new path's round trip.
func (a *Association) ChangePath(now time.Time) {
	a.tick(now)
	a.tuner.waiting = false
	if !a.transferring() {
		a.rto = rtoEstimator{}
		return
	}
	a.beginMove()
	a.rto = rtoEstimator{}
	a.rate = rateSampler{firstAt: a.clock(now), deliveredAt: a.clock(now)}
	a.recovery = recoveryState{limited: a.recovery.limited}
	a.mtu = a.pmtud.limit
	a.cc = a.cfg.CongestionControl.newController(a.mtu, a.localTag)
	a.pacer, a.pacedUntil = pacer{}, time.Time{}
	a.heartbeat.sentAt, a.heartbeat.asked, a.heartbeat.rtt = time.Time{}, 0, 0 // its answer would tell the old round trip
	if !a.out.empty() {
		a.askRTT(now)
	}
	a.timers.reorder, a.timers.probe = time.Time{}, time.Time{}
	a.restartDiscovery(a.pmtud.most)
}

// beginMove leaves what is in flight to the old path, or to one before it.
func (a *Association) beginMove() {
	o := &a.out
	if o.empty() {
		return
	}
	patience := max(int64(a.rto.srtt+4*a.rto.rttvar), o.move.patience)
	o.move = pathChange{known: true, until: o.end - 1, first: a.order + 1, active: o.flying > 0, last: o.tail, patience: patience}
}

// allMoved reports whether what is in flight all took the old path.
func (o *outstanding) allMoved() bool { return o.move.active && o.move.last == o.tail }

// fresh is the chunk in flight that was sent first on this path. Those of the
// old one are before it in the list.
func (o *outstanding) fresh() (tsn chunkTSN, ok bool) {
	if o.flying == 0 || o.allMoved() {
		return 0, false
	}
	if o.move.active {
		return o.at(o.move.last).next, true
	}
	return o.head, true
}

// landMoved notes that a chunk is about to leave the list. Nothing is waited for
// when nothing of the old path is in it any more.
func (o *outstanding) landMoved(tsn chunkTSN, c *sentChunk) {
	if o.move.active && tsn == o.move.last {
		if o.move.last = c.prev; tsn == o.head {
			o.move.active, o.move.patience = false, 0
		}
	}
}

// detectMoved marks what the old path has lost: nothing was sent later on it, so
// only time tells.
func (a *Association) detectMoved(now, wait int64) {
	for a.out.move.active {
		c := a.out.at(a.out.head)
		if due := c.at + max(wait, a.out.move.patience); now < due {
			a.armReorder(due)
			return
		}
		a.out.markLost(a.out.head, c)
	}
}
