package datachannel

import "time"

// renewed has the channels go on over the association that a remote begins in place
// of its old one (sctp.EventReplaced). Both ends keep their channels and the ids: a
// DATA_CHANNEL_OPEN is sent again only if the remote may not have it, as any message.
// That the remote has one is known without its DATA_CHANNEL_ACK, which is lost with
// the old association. So is the reset of a stream: a channel that is closing asks
// for it again.
func (s *Session) renewed(now time.Time) {
	s.answering = nil
	for _, id := range s.channels.ids() {
		c := s.channels.get(id)
		c.takePartial(nil) // its sender begins it anew
		switch {
		case c.ackOwed:
			s.acceptOpen(now, c)
		case c.state == StateClosing:
			c.localEnd = false
			s.resetStream(now, c)
		case c.inBand && !c.acked && s.assoc.Acknowledged(id):
			c.acknowledged()
		}
	}
}
