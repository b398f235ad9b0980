package rtcpeer

import (
	"errors"
	"fmt"
	"io"
	"time"

	"purertc/datachannel"
	"purertc/dtls"
	"purertc/ice"
	"purertc/rtcpeer/internal/pcapng"
	"purertc/sctp"
)

// A core is a connection without goroutine, lock, clock or socket: the layers and the
// calls between them.
//
//	in:  ice.HandleDatagram → dtls.HandleRecord → sctp.HandlePacket → datachannel.Process
//	out: ICE's own datagrams, else ice.BeginData → DTLS's handshake, or
//	     dtls.BeginRecord → sctp.AppendPacket → dtls.FinishRecord → ice.FinishData
//
// Before a pair is selected, DTLS's handshake goes in ICE's datagrams: see carryFlight.
type core struct {
	agent   *ice.Agent
	dtls    *dtls.Conn // nil until both descriptions are known
	assoc   *sctp.Association
	session *datachannel.Session

	client       bool // the DTLS role
	handshake    handshakeState
	beginAt      *time.Time    // of handshakeWaits: when the client begins; nil: no pair is selected
	early        [][]byte      // datagrams that came before the handshake began
	recordAt     time.Time     // when data was last sent or received; zero: DTLS's caches are released
	leaving      bool          // ABORT is sent, then close_notify
	err          error         // why the connection failed or was closed; nil: it goes on
	rtt          time.Duration // as ICE measured it; 0: not measured on this path
	route        ice.Route     // of the last datagram with data
	datagramSize int           // bytes of the longest UDP payload without path MTU discovery
	discovery    bool          // path MTU discovery tries longer ones
	fragmented   bool          // the system fragments long datagrams, so a probe shows nothing

	snap        snapState
	timeline    Timeline
	sped        spedState
	replacement replacement
	observer    observer
}

// releaseAfter is how long after its last record a connection releases what it can
// make again. Once in two seconds this costs nothing, and of thousands of connections
// on one socket most are idle.
const releaseAfter = 2 * time.Second

// A handshake flight that comes before the answer is kept, so that the remote need not
// send it again. Browsers' first flight has two datagrams.
const (
	maxEarlyDatagrams = 4
	maxEarlySize      = 2048
)

func newCore(cfg *Config, agent *ice.Agent, observer observer, random io.Reader) core {
	assoc := sctp.NewAssociation(sctp.Config{
		Rand:           random,
		MaxMessageSize: cfg.maxReceived(),
		MemoryLimit:    cfg.MemoryLimit,
		ReceiveBuffer:  cfg.ReceiveWindow,

		CongestionControl: cfg.CongestionControl,
		Trace:             observer.events.sctpHook(),
	})
	if !cfg.DisableSPED {
		agent.EnableSPED(false)
	}
	return core{
		agent: agent, assoc: assoc,
		session:      datachannel.NewSession(assoc, datachannel.Config{MaxMessageSize: cfg.maxMessageSize(), MaxChannels: cfg.MaxChannels}),
		observer:     observer,
		snap:         snapState{disabled: cfg.DisableSNAP},
		sped:         spedState{disabled: cfg.DisableSPED},
		datagramSize: cfg.maxDatagramSize(), discovery: cfg.MaxDatagramSize == 0,
	}
}

// makeDTLS makes the DTLS connection. beginDTLS follows.
func (c *core) makeDTLS(cfg dtls.Config) error {
	c.client = cfg.Client
	conn, err := dtls.NewConn(cfg)
	if err != nil {
		return err
	}
	c.dtls = conn
	c.sped.restart(c.agent)
	if c.rtt > 0 {
		conn.SetRTT(c.rtt)
	}
	return nil
}

// beginDTLS begins the handshake, and handles the datagrams that came before it.
func (c *core) beginDTLS(now time.Time) {
	if c.handshake == handshakeWaits {
		c.handshake = handshakeContested
	} else {
		c.handshake = handshakeBegun
	}
	c.dtls.Start(now)
	early := c.early
	c.early = nil
	for _, b := range early {
		c.handleData(now, b)
	}
	c.process(now)
}

// handleDatagram handles one datagram. process follows the last one of a batch.
func (c *core) handleDatagram(now time.Time, r ice.Route, b []byte) {
	data, ok := c.agent.HandleDatagram(now, r, b)
	switch {
	case ok:
		if c.handshake.begun() && !c.established() {
			c.agent.Reached(now) // the remote's DTLS begins only when it has both descriptions
		}
		c.handleData(now, data)
	case data != nil && c.established() && c.handleData(now, data):
		c.agent.Authenticated(now)
	}
}

// handleData handles the payload of one datagram. It reports whether b held an
// authenticated record that is newer than all before: an attacker may forward records
// from another address, or keep them back until others have come, but not ahead of the
// remote (RFC 9146 §6).
func (c *core) handleData(now time.Time, b []byte) (newest bool) {
	if c.handshake.yields() && !c.established() && dtls.IsClientHello(b) {
		c.handshake, c.beginAt = handshakeYielded, nil
	}
	if !c.handshake.begun() {
		if len(c.early) < maxEarlyDatagrams && len(b) <= maxEarlySize {
			c.early = append(c.early, append([]byte(nil), b...))
		}
		return false
	}
	c.recordAt = now
	for records := 0; len(b) > 0 && records < dtls.MaxRecords; records++ {
		data, n := c.dtls.HandleRecord(now, b)
		newest = newest || c.dtls.Newest()
		if len(data) > 0 {
			if c.assoc.State() == sctp.StateClosed {
				c.process(now) // SCTP must have called Connect before it handles the remote's INIT
			}
			if c.observer.capture != nil {
				c.observer.capture.message(now, pcapng.Inbound, data)
			}
			c.assoc.HandlePacket(now, data)
		}
		b = b[n:]
	}
	return newest
}

// process passes events from layer to layer. It follows every input, timer and call of
// the program.
func (c *core) process(now time.Time) {
	if c.dtls == nil || c.ended() {
		return
	}
	if !c.dtls.Established() {
		c.dtls.SetUntimed(now, !c.agent.Ready())
	}
	for {
		e, ok := c.dtls.NextEvent()
		if !ok {
			break
		}
		c.handleDTLSEvent(now, e)
	}
	if c.rtt == 0 {
		c.takeRTT() // the check that selected the pair may not have measured it
	}
	c.session.Process(now)
	c.carryFlight(now)
}

func (c *core) handleDTLSEvent(now time.Time, e dtls.Event) {
	c.observer.events.dtlsEvent(now, &e, c)
	switch e.Kind {
	case dtls.EventEstablished:
		c.takeRTT()
		c.assumePathSize()
		c.discover()
		c.session.Start(now, c.client)
		c.assoc.Connect(now)
		if c.replacement.state == replacementBegun {
			c.replacement.state = replacementNone
		}
	case dtls.EventClosed:
		if !c.replaced(now) {
			c.end(ErrRemoteClosed)
		}
	case dtls.EventFailed:
		c.end(fmt.Errorf("rtcpeer: DTLS: %w", e.Err))
	}
}

// closedByRemote wraps the error by which the remote closed the connection; nil: it
// sent close_notify.
func closedByRemote(err error) error {
	if err == nil {
		return ErrRemoteClosed
	}
	return fmt.Errorf("%w: %w", ErrRemoteClosed, err)
}

// handleAssociationEvent handles the SCTP events that concern the whole connection.
func (c *core) handleAssociationEvent(now time.Time, e sctp.Event) {
	switch e.Kind {
	case sctp.EventReplaced:
		c.associationReplaced(now, e)
	case sctp.EventClosed:
		c.end(ErrRemoteClosed)
	case sctp.EventFailed:
		if abort := (*sctp.AbortError)(nil); errors.As(e.Err, &abort) && abort.Remote {
			c.end(closedByRemote(e.Err))
		} else {
			c.end(fmt.Errorf("rtcpeer: SCTP: %w", e.Err))
		}
	}
}

// end ends the connection. The first cause stays.
func (c *core) end(err error) {
	if c.err == nil {
		c.err = err
	}
}

// ended reports whether the connection failed or was closed.
func (c *core) ended() bool { return c.err != nil }

// remoteClosed reports whether the remote closed the connection.
func (c *core) remoteClosed() bool { return errors.Is(c.err, ErrRemoteClosed) }

// pathLost sends unacknowledged data again at once: the path that it was sent on has
// died, and another one has replaced it.
func (c *core) pathLost(now time.Time) {
	if c.dtls != nil {
		c.dtls.PathLost(now)
		c.assoc.PathLost(now)
	}
}

// newPath discards the round-trip time, the congestion window and the MTU of the old
// path.
func (c *core) newPath(now time.Time) {
	c.rtt = 0
	c.assoc.ChangePath(now)
}

// setQuota limits the bytes that the remote can make the layers keep.
func (c *core) setQuota(n int) { c.assoc.Memory().SetQuota(n) }

// takeRTT passes the round-trip time measured by ICE to the layers above.
func (c *core) takeRTT() {
	rtt := c.agent.RTT()
	if rtt == 0 || rtt == c.rtt {
		return
	}
	c.rtt = rtt
	c.assoc.SetRTT(rtt)
	if c.dtls != nil {
		c.dtls.SetRTT(rtt)
	}
}

// appendDatagram appends the next datagram to dst; ok is false if there is none now.
// With onlyICE, data stays queued.
func (c *core) appendDatagram(now time.Time, dst []byte, onlyICE bool) (b []byte, r ice.Route, ok bool) {
	if b, r, ok = c.agent.AppendDatagram(now, dst); ok {
		return b, r, true
	}
	if c.dtls == nil || onlyICE {
		return dst, ice.Route{}, false
	}
	start := len(dst)
	b, ok = c.agent.BeginData(dst)
	if !ok {
		return dst, ice.Route{}, false
	}
	limit := c.datagramSize - c.agent.DataOverhead()
	if unsent, some := c.agent.UnsentDatagram(); some {
		b, c.sped.direct = append(b, unsent...), true
	} else if b, ok = c.appendRecords(now, b, limit); !ok {
		return dst, ice.Route{}, false
	}
	b, r = c.agent.FinishData(b, start)
	c.recordAt = now
	if !c.dtls.Established() || c.assoc.Awaiting() {
		c.agent.ExpectAnswer(now)
	}
	if r != c.route {
		c.setRoute(r)
	}
	return b, r, true
}

// appendRecords appends the records of one datagram: DTLS's own, or an SCTP packet. Sending
// one more datagram costs both ends about as much as processing the records in it. So
// in two cases records share a datagram: a server's last handshake records with the
// first SCTP packet, and the ABORT with the close_notify.
func (c *core) appendRecords(now time.Time, b []byte, limit int) ([]byte, bool) {
	start := len(b)
	b, handshake := c.dtls.AppendDatagram(now, b, limit)
	c.sped.direct = c.sped.direct || handshake
	if handshake && (c.client || c.assoc.State() > sctp.StateCookieWait) {
		return b, true
	}
	b, ok := c.appendRecord(now, b, limit-(len(b)-start))
	if ok && c.leaving {
		c.dtls.Close(now)
		b, _ = c.dtls.AppendDatagram(now, b, limit-(len(b)-start))
	}
	return b, handshake || ok
}

// leave ends the connection: ABORT is sent, then close_notify.
func (c *core) leave(now time.Time) {
	c.assoc.Abort(now, "")
	c.leaving = true
}

// Path MTU discovery tries datagrams up to the size that Ethernet carries. It tries
// longer ones, for jumbo frames and loopback interfaces, on two conditions:
//
//   - The remote's record_size_limit (RFC 8449) says that it reads such records.
//     Chromium does not: part of a datagram of more than 2048 bytes, even of a probe,
//     stays in its DTLS transport, which then fails to read every later long datagram.
//   - A probe that is too long is only lost. Over TCP it is not: Firefox closes a TCP
//     connection on which a frame of more than 9216 bytes comes, and the connection to
//     its relay at 2048.
const (
	ethernetDatagramSize = 1472
	longDatagramSize     = 16000
)

// setRoute restarts path MTU discovery for another route.
func (c *core) setRoute(r ice.Route) {
	c.route = r
	c.assoc.DiscoverPacketSize(0)
	c.discover()
}

// discover sets the limit of path MTU discovery.
func (c *core) discover() {
	if !c.discovery || c.fragmented && !c.route.Remote.Addr().IsLoopback() || !c.established() {
		return
	}
	most := ethernetDatagramSize
	if c.dtls.MaxPayload() < most {
		return // the remote reads no records of that size
	}
	if c.dtls.PeerRecordSizeLimit() >= longDatagramSize && c.agent.Direct() {
		most = longDatagramSize
	}
	c.assoc.DiscoverPacketSize(most - c.datagramSize)
}

// assumePathSize makes SCTP begin with shorter packets if no datagram of the handshake
// was as long as its packets may be: the path has not been shown to carry them.
func (c *core) assumePathSize() {
	const framing = 32 // bytes by which a full datagram of the handshake may be shorter than one of data
	size := c.dtls.PathSize() + c.sped.overhead()
	if limit := c.datagramSize - c.agent.DataOverhead(); size+framing < limit {
		c.assoc.AssumeShorter(limit - size)
	}
}

// appendRecord appends an SCTP packet in a DTLS record (RFC 8261 §4).
func (c *core) appendRecord(now time.Time, b []byte, limit int) ([]byte, bool) {
	if !c.dtls.Established() {
		return b, false
	}
	record := len(b)
	b = c.dtls.BeginRecord(b)
	packet := len(b)
	b, ok := c.assoc.AppendPacket(now, b, min(limit-c.dtls.Overhead(), c.dtls.MaxPayload()))
	if !ok {
		return b[:record], false
	}
	if c.observer.capture != nil {
		c.observer.capture.message(now, pcapng.Outbound, b[packet:])
	}
	return c.dtls.FinishRecord(b, record), true
}

// established reports whether DTLS is established.
func (c *core) established() bool { return c.dtls != nil && c.dtls.Established() }

// lossTimerDue reports whether the remote is late with an answer.
func (c *core) lossTimerDue(now time.Time) bool {
	return c.agent.LossTimerDue(now) || c.assoc.LossTimerDue(now)
}

// lastReceived returns when data or an answer of the remote was last received.
func (c *core) lastReceived() time.Time {
	at := c.assoc.LastReceived()
	if t := c.agent.LastReceived(); t.After(at) {
		at = t
	}
	return at
}

// suppressLossDetection makes the layers ignore that answers are late. advance follows.
func (c *core) suppressLossDetection(now time.Time) {
	c.agent.SuppressLossDetection(now)
	c.assoc.SuppressLossDetection(now)
}

// advance runs the timers that are due.
func (c *core) advance(now time.Time) {
	c.agent.Advance(now)
	if c.beginAt != nil && !now.Before(*c.beginAt) {
		c.beginAt = nil
		c.beginDTLS(now)
	}
	if c.dtls != nil {
		c.dtls.Advance(now)
		if c.agent.State() != ice.StateFailed {
			c.assoc.Advance(now)
			c.session.Advance(now)
			c.advanceReplacement(now)
		}
	}
	c.process(now)
	if at := c.releaseAt(); !at.IsZero() && !now.Before(at) {
		c.dtls.Release()
		c.session.Release()
		c.recordAt = time.Time{}
	}
}

// releaseAt returns when DTLS's caches are released, if no data goes until then; zero:
// they are released.
func (c *core) releaseAt() (at time.Time) {
	if !c.recordAt.IsZero() {
		at = c.recordAt.Add(releaseAfter)
	}
	return at
}

// release releases the agent's cached keys while DTLS's are released: its consent
// checks go on, and each makes them again.
func (c *core) release() {
	if c.recordAt.IsZero() && c.dtls != nil && c.dtls.Established() {
		c.agent.Release()
	}
}

// nextTimeout returns when advance has something to do; zero: never.
func (c *core) nextTimeout() time.Time {
	t := c.agent.NextTimeout()
	if c.dtls != nil {
		t = earlier(t, c.dtls.NextTimeout())
		if c.agent.State() != ice.StateFailed {
			// In StateFailed nothing can be sent. The timers stand still, or
			// unsent retransmissions would count as lost and end the association
			// before an ICE restart.
			t = earlier(t, c.assoc.NextTimeout())
			t = earlier(t, c.session.NextTimeout())
			t = earlier(t, c.replacementTimeout())
		}
		t = earlier(t, c.releaseAt())
		if c.beginAt != nil {
			t = earlier(t, *c.beginAt)
		}
	}
	return t
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
