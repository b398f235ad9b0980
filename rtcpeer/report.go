package rtcpeer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"purertc/ice"
)

// A Report answers the question "why is it not connected?". It has the state of each
// candidate, pair and server, and of the layers above ICE. Its method String returns a
// text for people.
type Report struct {
	Connection ConnectionState // the present state, which Poll may not have shown yet
	Gathering  GatheringState
	Signaling  SignalingState
	Err        error // why the connection failed or was closed; nil: it has not failed and was not closed

	ICE   ice.Report // candidates, pairs with their checks, servers with their answers
	Stats Stats      // statistics of DTLS and SCTP, and traffic

	DTLSErr    error    // the error that ended the DTLS handshake or connection, such as an alert
	SCTPState  string   // name of the state in RFC 9260 §4, in lower case
	SNAP       bool     // the descriptions set up SCTP, so its handshake was not needed (draft-hancke-tsvwg-snap)
	SPED       bool     // ICE's checks carried flights of the DTLS handshake (draft-hancke-webrtc-sped)
	Resolving  []string // URLs of servers with names that are being looked up, or to which a connection is being opened
	NotStarted bool     // the local and the remote description are not both applied yet
	Timeline   Timeline // when each step of the set-up happened
}

// Report describes the connection in detail. If the Extension does not implement
// ReportExtension, only the states are set.
func (c *Conn) Report() Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := Report{Connection: c.connection, Gathering: c.gathering, Signaling: c.signaling, Err: c.cause}
	if x, ok := c.ext.(ReportExtension); ok {
		x.Report(&r)
	}
	return r
}

func (t *transport) report(r *Report) {
	r.Stats = t.stats()
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		r.Connection, r.Gathering = t.state, t.gatherer.state
	}
	if t.cause != nil {
		r.Err = t.cause
	}
	r.ICE = t.core.agent.Report()
	for _, task := range t.gatherer.underway {
		r.Resolving = append(r.Resolving, task.url.text)
	}
	r.SCTPState = t.core.assoc.State().String()
	r.SNAP = t.core.snap.used
	r.SPED = t.core.agent.SPED()
	r.NotStarted = t.core.dtls == nil
	r.Timeline = t.core.timeline
	r.Timeline.RTT = cmp.Or(t.core.rtt, t.core.agent.RTT(), r.Stats.SCTPTransport.SmoothedRoundTripTime)
	if t.core.dtls != nil {
		r.DTLSErr = t.core.dtls.Err()
	}
}

// String returns the report as several lines of text, with the cause first.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "connection %v, gathering %v, signalling %v\n", r.Connection, r.Gathering, r.Signaling)
	if r.Err != nil {
		fmt.Fprintf(&b, "cause: %v\n", r.Err)
	}
	if r.NotStarted {
		b.WriteString("the other end's description, or ours, was not set yet\n")
	}
	role := "controlled"
	if r.ICE.Controlling {
		role = "controlling"
	}
	fmt.Fprintf(&b, "ICE %v, %s", r.ICE.State, role)
	if r.ICE.Pending {
		b.WriteString(", no check of the peer yet: it may not have the answer")
	}
	if r.ICE.Err != nil {
		fmt.Fprintf(&b, ": %v", r.ICE.Err)
	}
	b.WriteByte('\n')
	r.candidates(&b, "local", r.ICE.Local, r.ICE.Gathered)
	r.candidates(&b, "remote", r.ICE.Remote, r.ICE.RemoteEnded)
	r.dropped(&b)
	r.pairs(&b)
	r.servers(&b)
	t := r.Stats.Transport
	fmt.Fprintf(&b, "DTLS %s", t.DTLSState)
	for _, s := range []string{t.DTLSRole, t.DTLSVersion, t.DTLSCipher, t.DTLSGroup} {
		if s != "" {
			b.WriteString(", " + s)
		}
	}
	if r.SPED {
		b.WriteString(", carried by checks")
	}
	if r.DTLSErr != nil {
		fmt.Fprintf(&b, ": %v", r.DTLSErr)
	}
	fmt.Fprintf(&b, "\nSCTP %s", r.SCTPState)
	if r.SNAP {
		b.WriteString(", set up by the descriptions")
	}
	if rtt := r.Stats.SCTPTransport.SmoothedRoundTripTime; rtt > 0 {
		fmt.Fprintf(&b, ", round trip %v", rtt.Round(10*time.Microsecond))
	}
	b.WriteByte('\n')
	if s := r.Timeline.String(); s != "" {
		b.WriteString(s + "\n")
	}
	return b.String()
}

func (r Report) candidates(b *strings.Builder, whose string, list []ice.Candidate, complete bool) {
	end := ", more may come"
	if complete {
		end = ", complete"
	}
	fmt.Fprintf(b, "%d %s candidates%s\n", len(list), whose, end)
	for _, c := range list {
		fmt.Fprintf(b, "  %s", candidateText(c))
		if whose == "remote" && c.Name != "" {
			b.WriteString(" (its address is being looked up)")
		} else if whose == "remote" && c.TCPType != ice.TCPActive && !r.paired(c) {
			b.WriteString(" (no local address makes a pair with it)")
		}
		b.WriteByte('\n')
	}
}

func (r Report) paired(c ice.Candidate) bool {
	return slices.ContainsFunc(r.ICE.Pairs, func(p ice.PairReport) bool {
		return p.Remote.Addr == c.Addr && p.Remote.TCPType == c.TCPType && !p.Replaced
	})
}

func (r Report) dropped(b *strings.Builder) {
	if r.ICE.DropCount == 0 {
		return
	}
	fmt.Fprintf(b, "%d candidates are not used", r.ICE.DropCount)
	if n := len(r.ICE.Dropped); n < r.ICE.DropCount {
		fmt.Fprintf(b, ", the last %d of them", n)
	}
	b.WriteString("\n")
	for _, d := range r.ICE.Dropped {
		whose := "remote"
		if d.Local {
			whose = "local"
		}
		fmt.Fprintf(b, "  %s %q: %v\n", whose, d.Candidate, d.Reason)
	}
}

// candidateText returns a text with the type and the address of a candidate.
func candidateText(c ice.Candidate) string {
	if c.Name != "" && !c.Addr.Addr().IsValid() {
		return fmt.Sprintf("%v %s", c.Type, c.Name)
	}
	if c.TCPType == ice.TCPActive {
		return fmt.Sprintf("%v tcp %v, connecting", c.Type, c.Addr.Addr()) // the port of an active candidate has no meaning
	}
	return fmt.Sprintf("%v %s %v", c.Type, c.Transport, c.Addr)
}

func (r Report) pairs(b *strings.Builder) {
	fmt.Fprintf(b, "%d pairs\n", len(r.ICE.Pairs))
	for _, p := range r.ICE.Pairs {
		fmt.Fprintf(b, "  %s ↔ %s: %v, %d requests sent, %d answered, %d received", candidateText(p.Local), candidateText(p.Remote),
			p.State, p.RequestsSent, p.ResponsesReceived, p.RequestsReceived)
		if p.RTT > 0 {
			fmt.Fprintf(b, ", round trip %v", p.RTT.Round(10*time.Microsecond))
		}
		if p.Selected {
			b.WriteString(", selected")
		}
		if p.Err != nil {
			fmt.Fprintf(b, ": %v", p.Err)
		}
		b.WriteByte('\n')
	}
}

func (r Report) servers(b *strings.Builder) {
	for _, url := range r.Resolving {
		fmt.Fprintf(b, "server %s: is being looked up or connected to\n", url)
	}
	for _, s := range r.ICE.Servers {
		fmt.Fprintf(b, "server %s: ", s.URL)
		switch {
		case s.Err != nil:
			fmt.Fprintf(b, "%v", s.Err)
		case len(s.Relayed) > 0:
			fmt.Fprintf(b, "relays at %v", s.Relayed)
		case len(s.Mapped) > 0:
			fmt.Fprintf(b, "sees us at %v", s.Mapped)
		case s.Answered:
			b.WriteString("answered")
		default:
			b.WriteString("has not answered")
		}
		b.WriteByte('\n')
	}
}
