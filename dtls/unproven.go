package dtls

import (
	"bytes"
	"errors"
	"fmt"
	"time"
)

// What comes in plaintext may be anybody's. It must not end a handshake that
// the remote peer would complete (RFC 6347 §4.1.2.7, RFC 9147 §4.5.2 and §11).
// So until a record under keys has been opened:
//
//   - A message that is not due is dropped.
//   - A message that is due and wrong takes the Conn back to where the flight
//     that it belongs to began. The peer sends that flight again.
//   - A message that differs from one taken under the same number puts that one
//     in question: one of the two is forged. If our timer then runs out, the
//     Conn goes back to where that flight began, and takes the next one.
//   - An alert is noted.
//
// A true peer may have meant what it sent. So the error is kept, and ends the
// handshake with its reason if no flight is complete within doubtTime.

const (
	// doubtTime is how long an error that plaintext caused waits for something
	// better. At 20 % loss in each direction, with a retransmission timer of
	// 400 ms at first, 16 of 4000 handshakes need longer for a flight.
	doubtTime = 5 * time.Second

	// maxRestores bounds the public-key work that forged messages cause: each
	// costs about 0.3 ms.
	maxRestores = 64

	// maxCheckpoints is above the number of flights that a handshake has in
	// plaintext, maxHelloRetries included.
	maxCheckpoints = 8
)

// unproven is the state of a handshake of which nothing came under keys.
type unproven struct {
	points   []checkpoint
	flight   bool        // our flight went, so the next message begins the peer's
	again    reassembler // the first message of the handshake, as it came again
	disputed int         // index of the first checkpoint whose flight is in question, plus one; 0: none
	timeouts int         // of the flight of ours that went last
	restores int
	err      error // what ends the handshake at the time at; nil: nothing
	at       time.Time
}

// A checkpoint is a Conn before the first message of a flight.
type checkpoint struct {
	conn       Conn
	hs         handshake
	secrets    secrets12
	transcript transcript
	taken      []message // of the flight
}

// takeUnproven runs the step for a message that anybody could have sent.
func (c *Conn) takeUnproven(now time.Time, m message) {
	if err := c.note(m); err != nil {
		c.fail(fatal(AlertInternalError, "transcript: %w", err))
		return
	}
	c.setDeadline(now)
	// The timer of our flight goes on until the peer's is whole (RFC 6347
	// §4.2.4).
	if err := c.hs.step(c, now, m); err != nil {
		c.doubt(now, m, err)
	} else if c.unproven != nil {
		c.unproven.progress(now)
	}
}

// note is called with each message in plaintext before it is taken.
func (c *Conn) note(m message) error {
	u := c.unproven
	if u.flight && len(u.points) < maxCheckpoints {
		u.flight = false
		before, err := c.hs.transcript.clone()
		if err != nil {
			return err
		}
		p := checkpoint{conn: *c, hs: *c.hs, secrets: *c.secrets, transcript: before}
		p.conn.in = reassembler{next: uint32(m.seq)}
		u.points = append(u.points, p)
		if len(u.points) == 1 {
			u.again.next = uint32(m.seq)
		}
	}
	if last := len(u.points) - 1; last >= 0 {
		u.points[last].taken = append(u.points[last].taken, m)
	}
	return nil
}

// compare looks whether a fragment under the number of a message that was
// taken is of the same message.
func (u *unproven) compare(f fragment) {
	if len(u.points) > 0 && uint32(f.seq) == u.again.next {
		// What came last counts: the forger may be gone.
		if p := u.again.find(u.again.next); p != nil && p.whole() && !p.differs(f) {
			copy(p.body[f.offset:], f.data)
		} else {
			u.again.add(0, f)
		}
	}
	for i := range u.points {
		p := &u.points[i]
		n := int(f.seq) - int(p.conn.in.next)
		if n < 0 || n >= len(p.taken) {
			continue
		}
		m := &p.taken[n]
		if m.typ != f.typ || len(m.body) != f.length || !bytes.Equal(m.body[f.offset:f.offset+len(f.data)], f.data) {
			if u.disputed == 0 || i+1 < u.disputed {
				u.disputed = i + 1
			}
			return
		}
	}
}

// restore makes the Conn what it was at a checkpoint. What went out since has
// used up its record numbers.
func (c *Conn) restore(now time.Time, point int) {
	u := c.unproven
	u.restores++
	u.points, u.flight = u.points[:point+1], false
	if u.disputed > point {
		u.disputed = 0
	}
	p := &u.points[point]
	p.taken = nil
	then := p.conn
	then.datagramLimit = c.datagramLimit
	then.stats, then.events, then.rtt, then.early, then.deadline = c.stats, c.events, c.rtt, c.early, c.deadline
	if c.timeout > 0 && then.timeout > 0 {
		then.timeout = c.timeout
	}
	if !due(c.retransmitAt, now) {
		then.retransmitAt = c.retransmitAt
	}
	hs, secrets := p.hs, p.secrets
	hs.transcript, _ = p.transcript.clone() // which cannot fail where it did not the first time
	then.hs, then.secrets = &hs, &secrets
	if point == 0 {
		then.in, u.again = u.again, reassembler{next: u.again.next}
	}
	*c = then
	c.dropAcks()
	if c.heard() && c.retransmitAt.IsZero() {
		c.retransmitAt = now.Add(c.timeout)
	}
}

// doubt keeps err, which a message in plaintext caused, and lets another one
// take its place.
func (c *Conn) doubt(now time.Time, m message, err error) {
	var a *AlertError
	u := c.unproven
	last := len(u.points) - 1
	if !errors.As(err, &a) || a.Alert == AlertInternalError || last < 0 || u.restores >= maxRestores {
		c.fail(err) // of our own making, or too often
		return
	}
	c.stats.Malformed++
	u.suspect(now, err)
	if errors.As(err, new(*notDue)) {
		// Nothing has looked further than at its type.
		c.in.next = uint32(m.seq)
		u.points[last].taken = u.points[last].taken[:len(u.points[last].taken)-1]
		return
	}
	c.restore(now, last)
}

// reconsider goes back to before a flight that is in question, when the timer
// of the flight of ours that followed it has run out twice: after the first time
// the peer may only have lost that. For the first message of the handshake there
// has to be another one.
func (c *Conn) reconsider(now time.Time) {
	u := c.unproven
	if u == nil {
		return
	}
	if u.timeouts++; u.timeouts < 2 || u.disputed == 0 || u.restores >= maxRestores {
		return
	}
	if p := u.again.find(u.again.next); u.disputed == 1 && (p == nil || !p.whole()) {
		return
	}
	u.timeouts = 0
	c.restore(now, u.disputed-1)
	c.runSteps(now)
}

// suspect keeps err for the case that nothing better comes. An error of this
// end says more than the peer's alert.
func (u *unproven) suspect(now time.Time, err error) {
	var a *AlertError
	remote := errors.As(err, &a) && a.Remote
	if u.err == nil || !remote {
		u.err = err
	}
	if u.at.IsZero() {
		u.at = now.Add(doubtTime)
	}
}

// progress tells that a message was taken. An alert is then judged anew: what
// the peer sends after a fatal alert is at most what overtook it.
func (u *unproven) progress(now time.Time) {
	var a *AlertError
	if errors.As(u.err, &a) && a.Remote {
		u.at = now.Add(doubtTime)
	}
}

// answered tells that a flight of ours answers a whole one of the peer.
func (u *unproven) answered() {
	var a *AlertError
	u.flight, u.timeouts = true, 0
	if errors.As(u.err, &a) && !a.Remote {
		u.err, u.at = nil, time.Time{}
	}
}

// doubtAt is when an error that plaintext caused ends the handshake.
func (c *Conn) doubtAt() (t time.Time) {
	if c.unproven != nil {
		t = c.unproven.at
	}
	return t
}

// A notDue is the reason of an error about a message of a type, or in an
// epoch, that is not due.
type notDue struct {
	got   handshakeType
	epoch uint16
	want  handshakeType
}

func (e *notDue) Error() string {
	return fmt.Sprintf("handshake message of type %d in epoch %d where type %d was due", e.got, e.epoch, e.want)
}
