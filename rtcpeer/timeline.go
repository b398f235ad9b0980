package rtcpeer

import (
	"fmt"
	"strings"
	"time"

	"purertc/sctp"
)

// A Timeline says when each step of setting up a connection happened for the first
// time. Each step is the time since Offer; 0: the step has not happened. A step that
// happened at the time Offer itself is 1 ns.
type Timeline struct {
	Offer         time.Time     // when the first offer was created, or the remote's first offer was applied; zero: there was none
	Answer        time.Duration // a local or remote answer was applied, so that both descriptions are known
	CheckSent     time.Duration // ICE sent its first check; an ICE-lite agent sends none
	CheckAnswered time.Duration // the remote's first answer to a check arrived
	PairSelected  time.Duration // ICE selected a pair, which carries data from then on
	DTLS          time.Duration // the DTLS handshake was complete at the local end
	SCTP          time.Duration // the SCTP association was established at the local end
	ChannelOpen   time.Duration // the first data channel opened
	Message       time.Duration // the first message arrived, which the program may take later

	RTT time.Duration // round-trip time of the path at the time of the report; 0: not measured
}

// begin notes that there is an offer.
func (l *Timeline) begin(now time.Time) {
	if l.Offer.IsZero() {
		l.Offer = now
	}
}

// reached notes a step, which is a field of l.
func (l *Timeline) reached(step *time.Duration, now time.Time) {
	if *step == 0 && !l.Offer.IsZero() {
		*step = max(now.Sub(l.Offer), 1)
	}
}

// observe notes the steps that the layers have made. It follows every input, but after
// the step SCTP it has nothing to do.
func (l *Timeline) observe(now time.Time, c *core) {
	if l.SCTP != 0 || l.Answer == 0 {
		return
	}
	if l.CheckAnswered == 0 {
		sent, answered := c.agent.Checked()
		if sent {
			l.reached(&l.CheckSent, now)
		}
		if answered {
			l.reached(&l.CheckAnswered, now)
		}
	}
	if _, ok := c.agent.Selected(); ok {
		l.reached(&l.PairSelected, now)
	}
	if c.established() {
		l.reached(&l.DTLS, now)
	}
	if c.assoc.State() == sctp.StateEstablished {
		l.reached(&l.SCTP, now)
	}
}

// String returns the timeline as one line of text: the steps in milliseconds, and in
// round trips since the answer if the round-trip time is known. It is empty if there
// was no offer.
func (l Timeline) String() string {
	if l.Offer.IsZero() {
		return ""
	}
	var b strings.Builder
	b.WriteString("milliseconds since the offer")
	if l.RTT > 0 {
		b.WriteString(" (round trips since the answer)")
	}
	separator := ": "
	for _, step := range []struct {
		name string
		at   time.Duration
	}{
		{"answer", l.Answer}, {"check sent", l.CheckSent}, {"check answered", l.CheckAnswered}, {"pair selected", l.PairSelected},
		{"DTLS", l.DTLS}, {"SCTP", l.SCTP}, {"channel open", l.ChannelOpen}, {"first message", l.Message},
	} {
		if step.at == 0 {
			continue
		}
		fmt.Fprintf(&b, "%s%s %.1f", separator, step.name, step.at.Seconds()*1e3)
		if l.RTT > 0 && step.at > l.Answer && l.Answer > 0 {
			fmt.Fprintf(&b, " (%.1f)", float64(step.at-l.Answer)/float64(l.RTT))
		}
		separator = ", "
	}
	return b.String()
}
