package sctp

import "time"

// A pathMove is the time after NewPath in which packets of the old path are
// still under way. They are acknowledged like any others, but tell nothing of
// the new path: neither its round trip nor its rate, and their loss is not its
// congestion (RFC 9000 §9.4, which says of QUIC what holds here too).
type pathMove struct {
	active   bool
	first    sendOrder // of the new path
	patience int64     // how long an acknowledgement could take on the old one
}

// old reports whether a packet took the old path.
func (m *pathMove) old(order sendOrder) bool { return m.active && order.before(m.first) }

// NewPath tells that from now on packets take another path, of which nothing is
// known. The estimates of the round trip and of the rate, the congestion window
// and the packet size begin as for a new association (RFC 9260 §7.2.1 and §6.3.1
// C1, which keep them for each destination address). What was sent before is
// awaited for as long as it took on the old path; where that is dead, PathLost
// comes first. SetRTT may tell the new path's round trip.
func (a *Association) NewPath(now time.Time) {
	a.tick(now)
	if !a.transferring() {
		a.rto = rtoEstimator{}
		return
	}
	a.out.move = pathMove{active: a.out.flying > 0, first: a.order + 1, patience: int64(a.rto.srtt + 4*a.rto.rttvar)}
	a.rto = rtoEstimator{}
	a.recovery = recoveryState{limited: a.recovery.limited}
	a.mtu = a.size.limit
	a.cc = a.cfg.CongestionControl.newController(a.mtu, a.localTag)
	a.pacer, a.pacedUntil = pacer{}, time.Time{}
	a.heartbeat.sentAt = time.Time{} // its answer would tell the old round trip
	a.timers.reorder, a.timers.probe = time.Time{}, time.Time{}
	a.restartDiscovery(a.size.most)
}

// settleMove ends the move when nothing of the old path is in flight any more.
func (o *outstanding) settleMove() {
	if o.move.active && (o.flying == 0 || !o.move.old(o.at(o.head).order)) {
		o.move = pathMove{}
	}
}
