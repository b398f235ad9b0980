package datachannel

import "time"

const (
	// ackWait is how long the DATA_CHANNEL_ACK may take (RFC 8832 §6) after the
	// remote's SCTP has received the DATA_CHANNEL_OPEN. A browser answers from a
	// thread that its page can block for seconds.
	ackWait = 30 * time.Second

	// resetWait is how long the remote may take to reset its side of a stream after it
	// has answered the local reset (RFC 8831 §6.7). The time restarts with each
	// message on the stream. Messages of other channels and a bad path may delay the
	// messages that the remote sends before its reset.
	resetWait = time.Minute

	// silentPath is how long nothing must arrive from the remote until the path is
	// treated as dead. resetWait then restarts. An idle association receives a
	// HEARTBEAT every 30 s.
	silentPath = 40 * time.Second
)

// wait puts a channel into a list. All channels of one list wait for the same time d.
func (s *Session) wait(now time.Time, c *Channel, l *channelList, d time.Duration) {
	c.unlink(listTimed)
	c.due = now.Add(d)
	l.add(c)
}

// NextTimeout returns when Advance has something to do. The zero time means never.
func (s *Session) NextTimeout() (at time.Time) {
	for _, l := range [...]*channelList{&s.unacked, &s.unreset} {
		if c := l.first; c != nil && (at.IsZero() || c.due.Before(at)) {
			at = c.due
		}
	}
	return at
}

// Advance closes the channels for which the remote has not answered in time.
func (s *Session) Advance(now time.Time) {
	for c := s.unacked.first; c != nil && !now.Before(c.due); c = s.unacked.first {
		s.ackTimeout(now, c)
	}
	for c := s.unreset.first; c != nil && !now.Before(c.due); c = s.unreset.first {
		if s.assoc.Receiving(c.id) || now.Sub(s.assoc.LastReceived()) > silentPath {
			s.wait(now, c, &s.unreset, resetWait)
			continue
		}
		// Some remotes, such as Chromium 67, never reset their side. Data may still
		// arrive on the stream, so its id is not used again.
		s.closed(c, nil)
		s.reserve(c.id)
	}
}

// ackTimeout closes a channel that the remote does not acknowledge. Remotes may
// support fewer channels than SCTP streams, and silently drop a DATA_CHANNEL_OPEN that
// exceeds their limit: Firefox has a limit of 1024. A remote that acknowledges no
// channel at all is tolerated.
func (s *Session) ackTimeout(now time.Time, c *Channel) {
	switch {
	case c.opened && s.acks:
		c.unlink(listTimed)
		c.fail(now, ErrUnacknowledged)
		return
	case s.assoc.Acknowledged(c.id):
		c.opened = true
	}
	s.wait(now, c, &s.unacked, ackWait)
}

// acknowledged notes that the remote has created its end of the channel, which was
// opened locally.
func (c *Channel) acknowledged() {
	c.acked = true
	if c.links[listTimed].list == &c.s.unacked {
		c.unlink(listTimed)
	}
}
