package datachannel

import "time"

// renewed continues the channels after the remote has replaced its association by a
// new one (sctp.EventReplaced). Both ends keep their channels and ids. Like any
// message, a DATA_CHANNEL_OPEN is sent again only if the remote may not have received
// it. If the remote's SCTP has received it, the DATA_CHANNEL_ACK is not needed: it is
// lost with the old association. The reset of a stream is lost too, so a closing
// channel asks for it again.
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
