package ice

import "net/netip"

// checks are the checklists of all generations in use (RFC 8445 §6.1.4, §7, §8):
// pairs, connectivity checks, nomination, consent, the selected pair, and the routes
// on which payload is accepted.
type checks struct {
	random *randomSource
	events *eventQueue
	out    *outbox
	gather *gatherer
	trace  tracer

	consent      ConsentTimes
	remoteFilter func(netip.Addr) bool // nil: all addresses

	tieBreaker  uint64
	lite        bool
	controlling bool

	state State
	err   error // the cause of StateFailed

	cur *generation // the newest generation in use; its field older leads to the older ones
	// replaced is the generation to which Rollback returns. It is set from Restart
	// until SetRemote.
	replaced *generation

	selection
	routes  routeTable
	carried carriedFlight // SPED
	carrier *pair         // SPED: the pair on which a request of the remote agent last arrived; nil: none has arrived
	drops   *drops        // nil: no candidate was dropped
}
