package datachannel

import "time"

// renewed continues the channels on an association that the remote begins in place of
// its old one (sctp.EventReplaced). Both ends keep their channels and ids. A
// DATA_CHANNEL_OPEN is sent again only if the remote may not have received it, like
// any message. If its SCTP has, the DATA_CHANNEL_ACK is not needed, which is lost with
// the old association. So is the reset of a stream: a closing channel asks for it
// again.
func (s *Session) renewed(now time.Time) {
	s.answering = nil
	for _, id := range s.channels.ids() {
		c := s.channels.get(id)
		c.takePartial(nil) // the remote sends the message again
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
