package ice

// checks are the checklists of all generations in use (RFC 8445 §6.1.4, §7, §8):
// pairs, connectivity checks, nomination, consent, the selected pair, and the routes
// that payload is accepted from.
type checks struct {
	random *randomSource
	events *eventQueue
	out    *outbox
	gather *gatherer

	tieBreaker  uint64
	lite        bool
	controlling bool

	state State
	err   error // the cause of StateFailed

	cur *generation // the newest generation in use; older ones follow by older
	// replaced is the generation that Rollback goes back to, from Restart to SetRemote.
	replaced *generation

	selection
	routes routeTable
	drops  *drops // nil: no candidate was dropped
}
