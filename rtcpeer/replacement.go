package rtcpeer

import (
	"time"

	"purertc/ice"
	"purertc/sctp"
)

// Chromium and Firefox tie the transport of a bundle (ICE, DTLS and SCTP) to the tagged
// section of the bundle (RFC 9143 §7.2). When a page stops the transceiver of that
// section, its next offer rejects the section, and another section becomes the tagged
// section. When the page adds a transceiver after that, Chromium reuses the place of
// the first section, which becomes the tagged section. When the browser applies the
// answer, it closes the transport and creates another one. The new transport has other
// sockets and candidates, another DTLS handshake and another SCTP association. But it
// has the same ICE credentials, certificate and DTLS roles, so no description shows the
// change. The browser's data channels stay open, with the same ids. Other stacks, such
// as pion, keep their transport in the same situation. So after an offer with another
// tagged section the local end expects a replacement, and acts on the remote's
// behaviour:
//
//   - An ABORT by the user on the old association (Chromium), or close_notify (Firefox),
//     ends the old transport.
//   - If the ABORT or the close_notify is lost, ICE detects that the old pair does not
//     work any more, and selects another pair. A pair may change for other reasons, so
//     SCTP then probes the remote. If no answer arrives for replacementSilence, on a
//     pair that works, the old transport has ended.
//
// If there is no sign of a replacement, both ends keep their transports.
//
// After the end of the old transport, DTLS and the association begin again, and ICE
// validates every pair again (see Agent.Renew, Association.Renew and Session.renewed).
// If no pair works within replacementWithin, the remote has closed the connection. A
// closed connection and a replacement look the same before that.
//
// Data in flight when the old transport ends may be lost, or arrive twice. So the
// answer waits until all sent data is acknowledged, and new data waits until the
// remote has had time to apply the answer. Both waits are bounded. If a wait is too
// short, no reliable message is lost, but the last messages may arrive twice: see
// Association.Renew. Data of the remote that is in flight is lost: browsers do not send
// it again.

const (
	// answerWaitMost is how long an answer waits for acknowledgements at most. The
	// time is enough for several retransmissions on a path with a round trip of a
	// second.
	answerWaitMost = 3 * time.Second

	// holdTime is how long new data waits for the remote to apply the answer.
	// Signalling takes some round trips. If the remote keeps its transport, new data
	// is delayed for this time without need.
	holdTime = 2 * time.Second

	// replacementWithin is how long after the end of the old transport it may take
	// until a pair of the new transport works. A browser begins checks at once, since
	// the answer has the candidates. If the first transmissions of a check are lost,
	// it takes 7.5 s.
	replacementWithin = 15 * time.Second

	// replacementSilence is how long nothing may arrive on the association, while its
	// pair works, before the association is taken for ended. During this time the
	// association is probed every replacementProbe: over a path that loses half of all
	// packets, an answer comes within that time.
	replacementSilence = 3 * time.Second
	replacementProbe   = 250 * time.Millisecond
)

// A replacementState says whether the remote has replaced its transport.
type replacementState uint8

const (
	replacementNone     replacementState = iota // there is no sign of a replacement
	replacementExpected                         // the remote may replace its transport
	replacementProbed                           // ICE has selected another pair, so the association is probed
	replacementDue                              // the remote has replaced its transport: the local transport creates a new DTLS connection
	replacementBegun                            // the new DTLS connection exists and is not established yet
)

// A replacement is the state of the remote's possible replacement of its transport.
type replacement struct {
	state replacementState
	since time.Time // when the state began
	probe time.Time // in state replacementProbed: when the next probe is due
	cause error     // the error that ended the old transport; nil: close_notify, or no answers to probes

	holdUntil time.Time    // new data waits until this time; zero: new data is sent
	answer    *description // the answer that is held back until sent data is acknowledged; nil: none
}

// expected reports whether the remote may replace its transport.
func (r *replacement) expected() bool {
	return r.state == replacementExpected || r.state == replacementProbed
}

// hold makes new data wait until a time. If the time is zero, new data is sent.
func (c *core) hold(until time.Time) {
	c.replacement.holdUntil = until
	c.assoc.Suspend(!until.IsZero())
}

// answerWaits reports whether an answer has to wait, after which the remote may
// replace its transport. The answer waits for acknowledgements, or for the end of the
// previous replacement.
func (c *core) answerWaits(now time.Time) bool {
	switch r := &c.replacement; {
	case c.agent.State() == ice.StateFailed:
		return false // on a failed transport nothing can be acknowledged
	case r.state >= replacementDue:
		return true
	default:
		return !c.assoc.Settled() && now.Before(r.holdUntil)
	}
}

// expectReplacement begins to watch for a replacement: from now on, signs of a new
// transport of the remote are acted on.
func (c *core) expectReplacement(now time.Time) {
	if c.established() {
		c.replacement.state, c.replacement.since = replacementExpected, now
		c.assoc.ExpectRenewal()
	}
}

// checkAssociation probes the association if a replacement is expected. It is called
// when ICE has selected another pair.
func (c *core) checkAssociation(now time.Time) {
	if r := &c.replacement; r.state == replacementExpected && c.established() {
		r.state, r.since, r.probe = replacementProbed, now, now
	}
}

// replaced gives up the old transport, which ended without an ABORT. EventReplaced
// follows. replaced reports whether the remote can have replaced its transport.
func (c *core) replaced(now time.Time) bool {
	if !c.replacement.expected() || !c.assoc.Renew(now) {
		c.replacement.state = replacementNone
		return false
	}
	c.handshake = handshakeNone // datagrams are kept for the new DTLS connection
	return true
}

// associationReplaced handles EventReplaced: the transport will create the new DTLS
// connection.
func (c *core) associationReplaced(now time.Time, e sctp.Event) {
	c.handshake, c.beginAt = handshakeNone, nil
	c.rtt, c.route = 0, ice.Route{}
	c.snap = snapState{disabled: true} // the new association was not signalled
	old := c.replacement
	c.replacement = replacement{state: replacementDue, since: now, cause: e.Err}
	if old.answer != nil { // the answer of the next negotiation, after which another replacement may follow, is waiting
		c.replacement.answer = old.answer
		c.hold(old.holdUntil)
	}
	c.agent.Renew(now)
}

// advanceReplacement runs the timers of a replacement that have expired.
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

// advanceProbes ends probing if a probe was answered or too much time has passed
// without an answer. Otherwise it sends the next probe when it is due.
func (c *core) advanceProbes(now time.Time) {
	switch r := &c.replacement; {
	case c.assoc.LastReceived().Sub(r.since) > max(replacementProbe, c.rtt): // the packet came later than any packet that was in flight when probing began
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

// beginReplacement creates the DTLS connection of the new transport.
func (t *transport) beginReplacement(now time.Time) {
	t.log.Info("the peer has replaced its transport", "error", t.core.replacement.cause)
	t.core.replacement.state = replacementBegun
	t.full = false
	if err := t.makeDTLS(now, t.neg.currentRemote, t.core.client); err != nil {
		t.core.end(err)
	}
}

// emitAnswer emits an answer. If answerWaits says that the answer has to wait,
// emitAnswer stores it instead.
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

// answerApplied is called when the program has applied the answer to an offer that
// changes the tagged section. From then on a replacement is expected.
func (c *core) answerApplied(now time.Time) {
	c.hold(now.Add(holdTime))
	c.expectReplacement(now)
}

// dropAnswer drops the answer that is held back, because its offer was rolled back or
// replaced.
func (c *core) dropAnswer() {
	c.replacement.answer = nil
	c.hold(time.Time{})
}
