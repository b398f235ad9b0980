package sctp

import (
	"slices"
	"time"
)

// Renew begins anew with a remote that has replaced its association by another
// one, as a browser does together with its DTLS and ICE transport. EventReplaced is
// given, and Connect is to follow. Renew reports whether it did so: an association
// that has ended, or is being shut down, stays as it is.
//
// What was received stays to be read. What is queued stays queued. Reliable
// messages that were sent and not acknowledged are sent again, before those. A remote
// sends its SACKs before the ABORT that ends its association, so hardly any of these
// messages has arrived. One whose SACK is delayed (RFC 9260 §6.2) or lost arrives
// twice. To drop all of them instead would lose what was sent within about half a
// round trip. Suspend keeps from both. Of messages of limited reliability those that
// were sent whole are given up.
//
// Streams begin at number 0 on both ends. Resets of streams that were under way are
// forgotten. A Shutdown takes effect once the association is established again.
func (a *Association) Renew(now time.Time) bool { return a.renew(now, nil) }

func (a *Association) renew(now time.Time, cause error) bool {
	a.tick(now)
	if !a.open() {
		return false
	}
	a.requeue()
	a.reassembly.reset(a.memory, false, a.cfg.MaxMessageSize) // complete messages stay
	*a = Association{
		cfg: a.cfg, base: a.base, lastNow: a.lastNow, mtu: defaultMTU,
		queue: a.queue, memory: a.memory, reassembly: a.reassembly, advertised: a.memory.receiveWindow(),
		events: a.events, pendingResets: a.pendingResets, stats: a.stats,
		heartbeat: heartbeatState{heard: a.heartbeat.heard}, renewal: renewal{state: renewalBegun},
	}
	a.event(Event{Kind: EventReplaced, Err: cause})
	return true
}

// requeue takes back what is in flight, and has the queue begin anew: streams,
// their numbers and their turns.
func (a *Association) requeue() {
	q, again := &a.queue, map[*outStream][]*outMessage{}
	for _, m := range a.undelivered() {
		again[m.stream] = append(again[m.stream], m)
	}
	a.out = outstanding{}
	q.scheduler, q.drained, q.nextExpiry = scheduler{}, nil, time.Time{}
	for _, id := range q.streams.ids() {
		s := q.streams.get(id)
		q.renew(s, again[s])
		if s.head == nil && s.charged {
			a.forgetStream(id) // it was used for nothing but its reset
		}
	}
}

// undelivered lists the messages that were sent whole and are to be sent again, in
// the order in which they were sent. The others of those in flight are released.
func (a *Association) undelivered() (again []*outMessage) {
	o, q := &a.out, &a.queue
	var sent []*outMessage
	missing := map[*outMessage]bool{}
	for tsn := o.first; tsn != o.end; tsn++ {
		c := o.at(tsn)
		if _, seen := missing[c.msg]; !seen {
			sent = append(sent, c.msg)
		}
		missing[c.msg] = missing[c.msg] || c.state == chunkInFlight || c.state == chunkLost
	}
	for _, m := range o.limited {
		if _, seen := missing[m]; !seen && !m.queued {
			q.release(m) // all of it was acknowledged
		}
	}
	behind := map[*outStream]bool{} // ordered messages wait there for one that is missing
	for _, m := range sent {
		switch {
		case m.queued: // it has no end yet, so it has not been delivered
		case !missing[m] && !m.abandoned && (m.unordered || !behind[m.stream]):
			q.release(m)
		case m.abandoned, m.partiallyReliable():
			m.stream.pending--
			q.pool.put(m)
		default:
			behind[m.stream] = true
			again = append(again, m)
		}
	}
	return again
}

// renew begins a stream anew. The messages in again go before those in its queue.
func (q *sendQueue) renew(s *outStream, again []*outMessage) {
	s.nextSeq, s.nextUnseq, s.paused = 0, 0, false
	s.finish, s.start, s.heapAt, s.blocked = 0, 0, -1, false
	s.skipMark, s.skipAt = [2]uint32{}, [2]int{}
	if m := s.head; m != nil && m.started {
		q.unsend(m)
	}
	for i := len(again) - 1; i >= 0; i-- {
		m := again[i]
		q.unsend(m)
		m.queued, m.next, s.head = true, s.head, m
		if s.tail == nil {
			s.tail = m
		}
		q.messages++
	}
	if s.head != nil {
		q.activate(s)
		q.awaitExpiry(s.head)
	}
}

// unsend has a message be as if nothing of it had been sent.
func (q *sendQueue) unsend(m *outMessage) {
	q.count(m, m.sent)
	*m = outMessage{
		next: m.next, stream: m.stream, data: m.data, ppid: m.ppid, deadline: m.deadline, grace: m.grace, maxRetransmits: m.maxRetransmits,
		unordered: m.unordered, limitRetransmits: m.limitRetransmits, queued: m.queued, uncounted: m.uncounted,
	}
}

// A renewal is what is known of a remote that may replace its association.
type renewal struct {
	state     renewalState
	suspended bool // no new data is sent
}

type renewalState uint8

const (
	renewalNone     renewalState = iota
	renewalExpected              // an ABORT by the remote's user does what Renew does
	renewalBegun                 // until the association is established again
	renewalLast                  // … and is then shut down
)

// ExpectRenewal says that the remote may replace its association. From now on its
// ABORT does not end this one, but does what Renew does. EventReplaced has the ABORT
// as Err.
func (a *Association) ExpectRenewal() { a.renewal.state = renewalExpected }

// Suspend says whether new data stays in the queue. What was sent is sent again as
// needed.
func (a *Association) Suspend(suspended bool) { a.renewal.suspended = suspended }

// Settled reports whether all that was sent is acknowledged or given up.
func (a *Association) Settled() bool { return a.out.empty() }

// hasNew reports whether there is data to send that was not sent yet.
func (a *Association) hasNew() bool { return a.queue.messages > 0 && !a.renewal.suspended }

// Probe asks the remote for a sign of life, which Heard tells of.
func (a *Association) Probe(now time.Time) {
	a.tick(now)
	if a.transferring() {
		a.heartbeat.send = true
	}
}

// aborted takes an ABORT of the remote.
func (a *Association) aborted(now time.Time, err *AbortError) {
	replaced := a.renewal.state == renewalExpected && slices.Contains(err.Causes, CauseUserAbort)
	if !replaced || !a.renew(now, err) {
		a.end(Event{Kind: EventFailed, Err: err})
	}
}

// renewed ends a renewal, as the association is established.
func (a *Association) renewed() {
	if a.renewal.state == renewalLast {
		a.state = StateShutdownPending
	}
	if a.renewal.state >= renewalBegun {
		a.renewal.state = renewalNone
	}
}
