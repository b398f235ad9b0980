package rtcpeer

import (
	"time"

	"purertc/ice"
	"purertc/sctp"
)

// Chromium and Firefox tie the transport of a bundle (ICE, DTLS and SCTP) to the
// section that the bundle is tagged by (RFC 9143 §7.2). When a page stops the
// transceiver of that section, its next offer rejects the section and names another
// one as the tag. When the page adds a transceiver after that, Chromium reuses the
// place of the first section, and tags the bundle by the new one. When the browser
// applies the answer, it closes the transport and makes another one. The new transport
// has other sockets and candidates, another DTLS handshake and another SCTP
// association. But it has the same ICE credentials, certificate and DTLS roles, so no
// description shows the change. The browser's data channels stay open, with the same
// ids. Other stacks, such as pion, keep their transport in the same situation. So
// after an offer with another tag the local end expects a replacement, and the
// remote's behaviour decides:
//
//   - An ABORT by the user on the old association (Chromium), or close_notify (Firefox),
//     ends the old transport.
//   - If those are lost, ICE finds the old pair dead and selects another one. A pair may
//     change for other reasons, so SCTP then probes the remote. If nothing comes back for
//     replacementSilence, on a pair that is alive, the old transport has ended.
//
// If the remote does neither, both ends keep their transports.
//
// After the end of the old transport, DTLS and the association begin again, and ICE
// validates every pair again (see Agent.Renew, Association.Renew and Session.renewed).
// If no pair works within replacementWithin, the remote has closed the connection:
// until then that looks the same.
//
// Data in flight when the old transport ends may be lost, or arrive twice. So the
// answer waits until all sent data is acknowledged, and new data waits until the
// remote has had time to apply the answer. Both waits are bounded. If they are too
// short, no reliable message is lost, but the last ones may arrive twice: see
// Association.Renew. The remote's own data in flight is lost: browsers do not send it
// again.

const (
	// answerWaitMost is how long an answer waits for acknowledgements at most: several
	// retransmissions on a path with a round trip of a second.
	answerWaitMost = 3 * time.Second

	// holdTime is how long new data waits for the remote to apply the answer.
	// Signalling takes some round trips. If the remote keeps its transport, data waits
	// so long for nothing.
	holdTime = 2 * time.Second

	// replacementWithin is how long after the end of the old transport a pair of the
	// new one may take to work. A browser begins checks at once, since the answer has
	// the candidates. A check whose first transmissions are lost takes 7.5 s.
	replacementWithin = 15 * time.Second

	// replacementSilence is how long the association may be silent, on a pair that
	// works, before it counts as gone. It is probed every replacementProbe meanwhile:
	// over a path that loses half of all packets an answer comes within that time.
	replacementSilence = 3 * time.Second
	replacementProbe   = 250 * time.Millisecond
)

// A replacementState says whether the remote has replaced its transport.
type replacementState uint8

const (
	replacementNone     replacementState = iota // no sign that it does
	replacementExpected                         // the remote may replace it
	replacementProbed                           // ICE has selected another pair: the association is probed
	replacementDue                              // it has: the transport makes another DTLS connection
	replacementBegun                            // the new DTLS connection is not established so far
)

// A replacement is the state of the remote's possible replacement of its transport.
type replacement struct {
	state replacementState
	since time.Time // when the state began
	probe time.Time // of replacementProbed: when the next probe is due
	cause error     // the error that ended the old transport; nil: close_notify, or silence

	holdUntil time.Time    // until then new data waits; zero: it does not
	answer    *description // it waits until sent data is acknowledged; nil: none
}

// expected reports whether the remote may replace its transport.
func (r *replacement) expected() bool {
	return r.state == replacementExpected || r.state == replacementProbed
}

// hold makes new data wait until a time, or lets it go if the time is zero.
func (c *core) hold(until time.Time) {
	c.replacement.holdUntil = until
	c.assoc.Suspend(!until.IsZero())
}

// answerWaits reports whether an answer after which the remote may replace its
// transport has to wait: for acknowledgements, or for the end of the previous
// replacement.
func (c *core) answerWaits(now time.Time) bool {
	switch r := &c.replacement; {
	case c.agent.State() == ice.StateFailed:
		return false // nothing can be acknowledged
	case r.state >= replacementDue:
		return true
	default:
		return !c.assoc.Settled() && now.Before(r.holdUntil)
	}
}

// expectReplacement begins to watch for a replacement: from now on, signs of another
// transport of the remote count.
func (c *core) expectReplacement(now time.Time) {
	if c.established() {
		c.replacement.state, c.replacement.since = replacementExpected, now
		c.assoc.ExpectRenewal()
	}
}

// checkAssociation probes the association, if a replacement is expected: ICE has
// selected another pair.
func (c *core) checkAssociation(now time.Time) {
	if r := &c.replacement; r.state == replacementExpected && c.established() {
		r.state, r.since, r.probe = replacementProbed, now, now
	}
}

// replaced gives up the old transport, which ended by other means than an ABORT.
// EventReplaced follows. It reports whether the remote can have replaced its
// transport.
func (c *core) replaced(now time.Time) bool {
	if !c.replacement.expected() || !c.assoc.Renew(now) {
		c.replacement.state = replacementNone
		return false
	}
	c.handshake = handshakeNone // datagrams are kept for the new DTLS connection
	return true
}

// associationReplaced handles EventReplaced. The transport makes the new DTLS
// connection.
func (c *core) associationReplaced(now time.Time, e sctp.Event) {
	c.handshake, c.beginAt = handshakeNone, nil
	c.rtt, c.route = 0, ice.Route{}
	c.snap = snapState{disabled: true} // the new association was not signalled
	old := c.replacement
	c.replacement = replacement{state: replacementDue, since: now, cause: e.Err}
	if old.answer != nil { // the next replacement is already being negotiated
		c.replacement.answer = old.answer
		c.hold(old.holdUntil)
	}
	c.agent.Renew(now)
}

// advanceReplacement runs the timers of a replacement that are due.
func (c *core) advanceReplacement(now time.Time) {
	r := &c.replacement
	if !r.holdUntil.IsZero() && !now.Before(r.holdUntil) && r.answer == nil {
		c.hold(time.Time{})
	}
	switch r.state {
	case replacementProbed:
		c.advanceProbes(now)
	case replacementBegun:
		if !c.agent.Ready() && now.Sub(r.since) >= replacementWithin {
			c.end(closedByRemote(r.cause))
		}
	}
}

// advanceProbes handles the answer to a probe, or its absence, or sends the next
// probe.
func (c *core) advanceProbes(now time.Time) {
	switch r := &c.replacement; {
	case c.assoc.LastReceived().Sub(r.since) > max(replacementProbe, c.rtt): // later than any data that was in flight
		c.expectReplacement(now)
	case now.Sub(r.since) >= replacementSilence && c.agent.LastReceived().After(r.since):
		c.replaced(now)
	case !now.Before(r.probe):
		r.probe = now.Add(replacementProbe)
		c.assoc.Probe(now)
		c.agent.ExpectAnswer(now)
	}
}

// replacementTimeout returns when advanceReplacement has something to do; zero: never.
func (c *core) replacementTimeout() (at time.Time) {
	r := &c.replacement
	switch {
	case r.state == replacementProbed:
		at = r.probe
	case r.state == replacementBegun && !c.agent.Ready():
		at = r.since.Add(replacementWithin)
	}
	if r.answer != nil && r.state >= replacementDue {
		return at
	}
	return earlier(at, r.holdUntil)
}

// beginReplacement makes the DTLS connection of the new transport.
func (t *transport) beginReplacement(now time.Time) {
	t.log.Info("the peer has replaced its transport", "error", t.core.replacement.cause)
	t.core.replacement.state = replacementBegun
	t.full = false
	if err := t.makeDTLS(now, t.neg.currentRemote, t.core.client); err != nil {
		t.core.end(err)
	}
}

// emitAnswer emits an answer. It keeps it if it has to wait, see answerWaits.
func (t *transport) emitAnswer(now time.Time, d *description) {
	r := &t.core.replacement
	r.answer = nil
	if !r.holdUntil.IsZero() {
		if t.core.answerWaits(now) {
			r.answer = d
			return
		}
		t.core.hold(now.Add(holdTime))
	}
	t.emit(Event{Kind: EventSessionDescription, Type: "answer", SDP: d.text})
}

// answerApplied expects a replacement: the program has applied the answer to an offer
// that changes the tag.
func (c *core) answerApplied(now time.Time) {
	c.hold(now.Add(holdTime))
	c.expectReplacement(now)
}

// dropAnswer drops the pending answer: its offer was rolled back or replaced.
func (c *core) dropAnswer() {
	c.replacement.answer = nil
	c.hold(time.Time{})
}
