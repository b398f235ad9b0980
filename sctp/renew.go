package sctp

import (
	"slices"
	"time"
)

// A renewalState is the progress of a renewal: a remote replaces its association by a
// new one, and this end follows.
type renewalState uint8

const (
	renewalNone     renewalState = iota
	renewalExpected              // an ABORT by the remote's user begins a renewal
	renewalBegun                 // the association is not established again yet
	renewalLast                  // like renewalBegun, but the association is to be shut down once it is established
)

// Renew starts a new association with a remote that has replaced its association, as a
// browser does together with its DTLS and ICE transport. EventReplaced follows. The
// caller then calls Connect. Renew reports false, and does nothing, if the association
// has ended or is being shut down.
//
// Received messages can still be read, and queued messages stay queued. Reliable
// messages that were sent and not acknowledged are sent again, before the queued ones.
// A remote sends its SACKs before the ABORT that ends its association, so hardly any
// of these messages has arrived. If the SACK of a message was delayed (RFC 9260 §6.2)
// or lost, the message arrives twice. If Renew dropped all these messages instead,
// messages sent within about half a round trip would be lost. A caller that uses
// Suspend in time avoids both the repetition and the loss. Partially reliable messages
// that were sent completely are abandoned.
//
// The numbers of messages restart at 0 on all streams, at both ends. Stream resets
// under way are dropped. A Shutdown takes effect when the association is established
// again.
func (a *Association) Renew(now time.Time) bool {
	a.clock.tick(now)
	return a.renew(nil)
}

// renew does what Renew does. cause is the ABORT of the remote, or nil if the remote
// sent none.
func (a *Association) renew(cause error) bool {
	if !a.open() {
		return false
	}
	a.sender.requeue()
	a.receiver.end(a.cfg.MaxMessageSize) // complete messages can still be read
	a.trace.enter(&a.state, StateClosed)
	*a = Association{
		cfg: a.cfg, clock: a.clock, renewal: renewalBegun, memory: a.memory,
		sender:    sender{queue: a.sender.queue, mtu: defaultMTU, counters: a.sender.counters, trace: a.trace},
		receiver:  receiver{reassembly: a.receiver.reassembly, memory: a.memory, advertised: a.memory.receiveWindow()},
		heartbeat: heartbeat{received: a.heartbeat.received}, outbox: outbox{sent: a.outbox.sent, trace: a.trace},
		events: a.events, received: a.received, dropped: a.dropped, trace: a.trace,
	}
	a.events.add(Event{Kind: EventReplaced, Err: cause}, a.receiver.received())
	return true
}

// handleAbort processes an ABORT of the remote.
func (a *Association) handleAbort(err *AbortError) {
	replaced := a.renewal == renewalExpected && slices.Contains(err.Causes, CauseUserAbort)
	if !replaced || !a.renew(err) {
		a.end(Event{Kind: EventFailed, Err: err})
	}
}

// ExpectRenewal says that the remote may replace its association. From now on an ABORT by
// its user does not end this association, but has the effect of Renew. The Err of
// EventReplaced is the ABORT.
func (a *Association) ExpectRenewal() { a.renewal = renewalExpected }

// Suspend says whether queued messages stay in the queue for now. Chunks in flight are
// still retransmitted.
func (a *Association) Suspend(suspended bool) { a.sender.hold = suspended }

// Settled reports whether everything that was sent is acknowledged or abandoned.
func (a *Association) Settled() bool { return a.sender.out.empty() }

// Probe sends a HEARTBEAT. LastReceived shows whether the remote answers.
func (a *Association) Probe(now time.Time) {
	a.clock.tick(now)
	if a.state.handshakeDone() {
		a.heartbeat.send = true
	}
}
