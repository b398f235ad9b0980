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
func (p *core) hold(until time.Time) {
	p.replacement.holdUntil = until
	p.assoc.Suspend(!until.IsZero())
}

// answerWaits reports whether an answer after which the remote may replace its
// transport has to wait: for acknowledgements, or for the end of the replacement before.
func (p *core) answerWaits(now time.Time) bool {
	switch r := &p.replacement; {
	case p.agent.State() == ice.StateFailed:
		return false // nothing can be acknowledged
	case r.state >= replacementDue:
		return true
	default:
		return !p.assoc.Settled() && now.Before(r.holdUntil)
	}
}

// expectReplacement has evidence of another transport count from now on.
func (p *core) expectReplacement(now time.Time) {
	if p.established() {
		p.replacement.state, p.replacement.since = replacementExpected, now
		p.assoc.ExpectRenewal()
	}
}

// doubt has the association show that it is still there.
func (p *core) doubt(now time.Time) {
	if r := &p.replacement; r.state == replacementExpected && p.established() {
		r.state, r.since, r.probe = replacementDoubted, now, now
	}
}

// replaced gives the old transport up, whose end is known by something else than its
// ABORT. EventReplaced follows. It reports whether the remote can have replaced it.
func (p *core) replaced(now time.Time) bool {
	if !p.replacement.expected() || !p.assoc.Renew(now) {
		p.replacement.state = replacementNone
		return false
	}
	p.begun = false // what comes now is kept for the new DTLS connection
	return true
}

// associationReplaced takes EventReplaced. The new DTLS connection is to be made.
func (p *core) associationReplaced(now time.Time, e sctp.Event) {
	p.begun, p.yields, p.beginAt = false, false, nil
	p.rtt, p.route = 0, ice.Route{}
	old := p.replacement
	p.replacement = replacement{state: replacementDue, since: now, cause: e.Err}
	if old.answer != nil { // the next replacement is already on its way
		p.replacement.answer = old.answer
		p.hold(old.holdUntil)
	}
	p.agent.Renew(now)
}

// advanceReplacement runs what is due of a replacement.
func (p *core) advanceReplacement(now time.Time) {
	r := &p.replacement
	if !r.holdUntil.IsZero() && !now.Before(r.holdUntil) && r.answer == nil {
		p.hold(time.Time{})
	}
	switch r.state {
	case replacementDoubted:
		p.advanceDoubt(now)
	case replacementBegun:
		if !p.agent.Ready() && now.Sub(r.since) >= replacementWithin {
			p.end(remoteClosed(r.cause))
		}
	}
}

// advanceDoubt takes a sign of life, or its absence, or asks for one.
func (p *core) advanceDoubt(now time.Time) {
	switch r := &p.replacement; {
	case p.assoc.LastReceived().Sub(r.since) > max(replacementProbe, p.rtt): // later than what was under way
		p.expectReplacement(now)
	case now.Sub(r.since) >= replacementSilence && p.agent.LastReceived().After(r.since):
		p.replaced(now)
	case !now.Before(r.probe):
		r.probe = now.Add(replacementProbe)
		p.assoc.Probe(now)
		p.agent.ExpectAnswer(now)
	}
}

// replacementTimeout is when advanceReplacement has something to do; zero: never.
func (p *core) replacementTimeout() (at time.Time) {
	r := &p.replacement
	switch {
	case r.state == replacementDoubted:
		at = r.probe
	case r.state == replacementBegun && !p.agent.Ready():
		at = r.since.Add(replacementWithin)
	}
	if r.answer != nil && r.state >= replacementDue {
		return at
	}
	return earlier(at, r.holdUntil)
}

// beginReplacement makes the DTLS connection of the new transport.
func (p *peer) beginReplacement(now time.Time) {
	p.log.Info("the peer has replaced its transport", "error", p.core.replacement.cause)
	p.core.replacement.state = replacementBegun
	p.full = false
	if err := p.makeDTLS(now, p.neg.currentRemote, p.core.client); err != nil {
		p.core.end(err)
	}
}

// tagChanges takes an offer after which the remote may replace its transport. The
// answer waits, and data with it.
func (p *peer) tagChanges(now time.Time) {
	p.core.hold(now.Add(drainMost))
}

// emitAnswer gives the program an answer, or has it wait if it is to one of those
// offers.
func (p *peer) emitAnswer(now time.Time, d *description) {
	r := &p.core.replacement
	r.answer = nil
	if !r.holdUntil.IsZero() {
		if p.core.answerWaits(now) {
			r.answer = d
			return
		}
		p.core.hold(now.Add(holdMost))
	}
	p.emit(Event{Kind: EventSessionDescription, Type: "answer", SDP: d.text})
}

// answerApplied notes that the program has applied an answer to one of those offers.
func (p *peer) answerApplied(now time.Time) {
	p.core.hold(now.Add(holdMost))
	p.core.expectReplacement(now)
}

// dropAnswer forgets an answer that waits: its offer was rolled back or replaced.
func (p *peer) dropAnswer() {
	p.core.replacement.answer = nil
	p.core.hold(time.Time{})
}
