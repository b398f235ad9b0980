package rtcpeer

import (
	"slices"
	"time"

	"purertc/ice"
)

// A spedState is the core's part of SPED (draft-hancke-webrtc-sped): which flight of the
// DTLS handshake ICE's checks carry.
type spedState struct {
	disabled bool // Config.DisableSPED
	carried  bool // flights went in checks when carryFlight was last called
	changes  int  // dtls.Conn.FlightChanges when the agent last got a datagram
	direct   bool // a datagram of DTLS was sent outside of checks
	used     bool // a check has carried a datagram of DTLS
	done     bool // the agent knows that the handshake is over
}

// restart begins with a new DTLS connection.
func (s *spedState) restart(agent *ice.Agent) {
	agent.DropFlight()
	*s = spedState{disabled: s.disabled, done: s.done}
}

// leastFraming is how many bytes longer than the datagram that it carries a STUN message
// is at least: a response has a header, XOR-MAPPED-ADDRESS, an acknowledgement,
// MESSAGE-INTEGRITY and FINGERPRINT.
const leastFraming = 20 + 12 + 8 + 4 + 24 + 8

// overhead returns by how many bytes the datagrams on the path were longer than those of
// DTLS. It is 0 unless all of them went in checks.
func (s *spedState) overhead() int {
	if s.used && !s.direct {
		return leastFraming
	}
	return 0
}

// carryFlight gives the agent the datagrams of DTLS, which checks carry until a pair is
// selected. It also decides whether DTLS's retransmission timer runs: while the remote
// has answered no check, an answer to the flight cannot be late.
func (c *core) carryFlight(now time.Time) {
	if s := &c.sped; s.disabled || s.done || !c.handshake.begun() {
		return
	}
	carries := c.agent.CarriesFlights()
	c.dtls.HoldRetransmission(carries)
	if carries != c.sped.carried {
		c.sped.carried = carries
		if _, selected := c.agent.Selected(); carries || !selected {
			// The datagrams that went the other way are lost: the selected pair has
			// failed, or the remote has turned out to have no SPED.
			c.dtls.Resend()
		}
	}
	if n := c.dtls.FlightChanges(); n != c.sped.changes {
		c.sped.changes = n
		c.agent.DropFlight()
	}
	if !carries {
		if _, selected := c.agent.Selected(); selected && c.dtls.Established() {
			c.sped.done = true
			c.agent.HandshakeDone()
		}
		return
	}
	for {
		limit := c.agent.CarryLimit(c.datagramSize)
		if limit == 0 {
			return
		}
		b, ok := c.dtls.AppendDatagram(now, nil, limit)
		if !ok {
			return
		}
		c.sped.used = true
		c.agent.CarryDatagram(now, b)
	}
}

// The ICE option by which descriptions announce SPED. Chromium 156 writes both and
// looks for the second one; its older builds wrote the third one, whose hyphens other
// parsers do not accept.
const (
	spedOption        = "sped"
	googSPEDOption    = "googspedv1"
	oldGoogSPEDOption = "goog-sped-v1"
)

// iceOptions returns the ICE options of local descriptions, with those of SPED if
// it is enabled.
func (s *spedState) iceOptions(options ...string) []string {
	if s.disabled {
		return options
	}
	return append(options, spedOption, googSPEDOption)
}

// announcesSPED reports whether a description with these ICE options announces SPED.
func announcesSPED(options []string) bool {
	return slices.ContainsFunc(options, func(o string) bool {
		return o == spedOption || o == googSPEDOption || o == oldGoogSPEDOption
	})
}
