package sctp

import "time"

// ackState says whether a SACK is owed.
type ackState uint8

const (
	ackNone    ackState = iota
	ackDelayed          // when timers.ack runs out, or with other chunks
	ackNow
)

// ackDelay is how long a lone packet's SACK may wait. RFC 9260 §6.2 allows
// 200 ms; a fifth of it still lets an answer of the program carry it, and
// keeps the far end's estimate of the round trip near the truth.
const ackDelay = 40 * time.Millisecond

// dataArrived decides on the SACK for a packet that held data (RFC 9260 §6.2):
// at once for every second packet and whatever is out of order. However many
// packets came since the last flush, one SACK answers them.
func (a *Association) dataArrived(now time.Time) {
	a.ackPackets++
	switch {
	case a.state == StateShutdownSent:
		a.sendShutdown = true // RFC 9260 §9.2: SHUTDOWN and SACK at once
		a.ack = ackNow
		a.timers.shutdown = now.Add(a.rto.timeout(rtoMin))
	case a.ackPackets >= 2 || a.in.gaps():
		a.ack = ackNow
	case a.ack == ackNone:
		a.ack = ackDelayed
		a.timers.ack = now.Add(ackDelay)
	}
}

// windowOpened sends a SACK when the program has made enough room that the far
// end should know: an eighth of the window, or all of it.
func (a *Association) windowOpened() {
	if !a.transferring() || a.advertised > a.memory.window/2 {
		return
	}
	w := a.memory.receiveWindow()
	if w-a.advertised >= a.memory.window/8 || a.memory.held == 0 && w > a.advertised {
		a.ack = ackNow
	}
}

// appendSack appends the SACK that is owed.
func (a *Association) appendSack(b []byte, room int) []byte {
	a.advertised = a.memory.receiveWindow()
	a.ack, a.ackPackets = ackNone, 0
	a.timers.ack = time.Time{}
	return a.in.appendSack(b, uint32(a.advertised), room)
}
