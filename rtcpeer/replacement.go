package rtcpeer

import (
	"time"

	"purertc/ice"
	"purertc/sctp"
)

// Chromium and Firefox tie the transport of a bundle, which is ICE, DTLS and SCTP,
// to the section that the bundle is tagged by (RFC 9143 §7.2). When a page stops the
// transceiver of that section, its next offer rejects the section, and names another
// one as the tag. When it adds a transceiver after that, Chromium reuses the place of
// the first section, and tags the bundle by the new one. On applying the answer the
// browser closes the transport and makes another one: with other sockets and
// candidates, another DTLS handshake and another SCTP association, but with the same
// ICE credentials, certificate and DTLS roles, so that no description tells. Its data
// channels stay open, with the same ids. Other stacks, pion among them, keep their
// transport in the same situation. So an offer with another tag has this end expect a
// replacement, and what the remote does then decides:
//
//   - An ABORT by the user on the old association (Chromium), or close_notify
//     (Firefox), ends the old transport.
//   - If those are lost, data goes by another pair as soon as the old one is found
//     dead. A pair may change for other reasons, so SCTP asks the remote for a sign of
//     life then. Silence for replacementSilence, on a pair that is alive, ends the old
//     transport.
//
// A remote that shows none of that keeps its transport, and so does this end.
//
// Then DTLS and the association begin anew, and ICE has every pair prove itself
// anew (see Agent.Renew, Association.Renew and Session.renewed). If no pair does
// within replacementWithin, the remote has closed the connection, which looks alike.
//
// What is in flight when the old transport ends may be lost, or arrive twice. So the
// answer waits until all that was sent is acknowledged, and new data waits until the
// remote has had time to apply the answer; both waits are bounded. Where they are too
// short, nothing reliable is lost, but the last messages may arrive twice: see
// Association.Renew. What the remote itself has in flight it loses: browsers do not
// send it again.

const (
	// drainMost is how long an answer waits for acknowledgements: several
	// retransmissions on a path with a round trip of a second.
	drainMost = 3 * time.Second

	// holdMost is how long new data waits for the answer to be applied by the
	// remote. Signalling takes some round trips. It is also how long data waits
	// for nothing where the remote keeps its transport.
	holdMost = 2 * time.Second

	// replacementWithin is how long after the end of the old transport a pair of
	// the new one has to work. A browser begins to check at once, since the answer
	// has the candidates. A check whose first sendings are lost takes 7.5 s.
	replacementWithin = 15 * time.Second

	// replacementSilence is how long the association is silent on a pair that works
	// before it is taken to be gone. It is asked for a sign of life every
	// replacementProbe: a path that loses half of all packets brings one within
	// that time.
	replacementSilence = 3 * time.Second
	replacementProbe   = 250 * time.Millisecond
)

// A replacementState says what is known of the remote's transport.
type replacementState uint8

const (
	replacementNone     replacementState = iota // the remote keeps it
	replacementExpected                         // the remote may replace it
	replacementDoubted                          // and data goes by another pair: is the old association still there?
	replacementDue                              // there is evidence: DTLS has to be made anew
	replacementBegun                            // the new transport is not established yet
)

// A replacement is the state of a connection whose remote may replace its transport.
type replacement struct {
	state replacementState
	since time.Time // when the state began
	probe time.Time // when the association is asked next; of replacementDoubted
	cause error     // what ended the old transport; nil: close_notify, or silence

	holdUntil time.Time    // when new data flows again; zero: it does
	answer    *description // that waits until what was sent is acknowledged; nil: none
}

// expected reports whether evidence of another transport counts.
func (r *replacement) expected() bool {
	return r.state == replacementExpected || r.state == replacementDoubted
}

// hold has new data wait.
func (c *core) hold(until time.Time) {
	c.replacement.holdUntil = until
	c.assoc.Suspend(!until.IsZero())
}

// answerWaits reports whether an answer after which the remote may replace its
// transport has to wait: for acknowledgements, or for the end of the replacement before.
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

// expectReplacement has evidence of another transport count from now on.
func (c *core) expectReplacement(now time.Time) {
	if c.established() {
		c.replacement.state, c.replacement.since = replacementExpected, now
		c.assoc.ExpectRenewal()
	}
}

// doubt has the association show that it is still there.
func (c *core) checkAssociation(now time.Time) {
	if r := &c.replacement; r.state == replacementExpected && c.established() {
		r.state, r.since, r.probe = replacementDoubted, now, now
	}
}

// replaced gives the old transport up, whose end is known by something else than its
// ABORT. EventReplaced follows. It reports whether the remote can have replaced it.
func (c *core) replaced(now time.Time) bool {
	if !c.replacement.expected() || !c.assoc.Renew(now) {
		c.replacement.state = replacementNone
		return false
	}
	c.handshake = handshakeNone // datagrams are kept for the new DTLS connection
	return true
}

// associationReplaced takes EventReplaced. The new DTLS connection is to be made.
func (c *core) associationReplaced(now time.Time, e sctp.Event) {
	c.handshake, c.beginAt = handshakeNone, nil
	c.rtt, c.route = 0, ice.Route{}
	old := c.replacement
	c.replacement = replacement{state: replacementDue, since: now, cause: e.Err}
	if old.answer != nil { // the next replacement is already on its way
		c.replacement.answer = old.answer
		c.hold(old.holdUntil)
	}
	c.agent.Renew(now)
}

// advanceReplacement runs what is due of a replacement.
func (c *core) advanceReplacement(now time.Time) {
	r := &c.replacement
	if !r.holdUntil.IsZero() && !now.Before(r.holdUntil) && r.answer == nil {
		c.hold(time.Time{})
	}
	switch r.state {
	case replacementDoubted:
		c.advanceDoubt(now)
	case replacementBegun:
		if !c.agent.Ready() && now.Sub(r.since) >= replacementWithin {
			c.end(closedByRemote(r.cause))
		}
	}
}

// advanceDoubt takes a sign of life, or its absence, or asks for one.
func (c *core) advanceDoubt(now time.Time) {
	switch r := &c.replacement; {
	case c.assoc.Heard().Sub(r.since) > max(replacementProbe, c.rtt): // later than what was under way
		c.expectReplacement(now)
	case now.Sub(r.since) >= replacementSilence && c.agent.LastReceived().After(r.since):
		c.replaced(now)
	case !now.Before(r.probe):
		r.probe = now.Add(replacementProbe)
		c.assoc.Probe(now)
		c.agent.ExpectAnswer(now)
	}
}

// replacementTimeout is when advanceReplacement has something to do; zero: never.
func (c *core) replacementTimeout() (at time.Time) {
	r := &c.replacement
	switch {
	case r.state == replacementDoubted:
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

// tagChanges takes an offer after which the remote may replace its transport. The
// answer waits, and data with it.
func (t *transport) tagChanges(now time.Time) {
	t.core.hold(now.Add(drainMost))
}

// emitAnswer gives the program an answer, or has it wait if it is to one of those
// offers.
func (t *transport) emitAnswer(now time.Time, d *description) {
	r := &t.core.replacement
	r.answer = nil
	if !r.holdUntil.IsZero() {
		if t.core.answerWaits(now) {
			r.answer = d
			return
		}
		t.core.hold(now.Add(holdMost))
	}
	t.emit(Event{Kind: EventSessionDescription, Type: "answer", SDP: d.text})
}

// answerApplied notes that the program has applied an answer to one of those offers.
func (t *transport) answerApplied(now time.Time) {
	t.core.hold(now.Add(holdMost))
	t.core.expectReplacement(now)
}

// dropAnswer forgets an answer that waits: its offer was rolled back or replaced.
func (t *transport) dropAnswer() {
	t.core.replacement.answer = nil
	t.core.hold(time.Time{})
}
