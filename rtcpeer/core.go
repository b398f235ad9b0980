package rtcpeer

import (
	"errors"
	"fmt"
	"io"
	"time"

	"purertc/datachannel"
	"purertc/dtls"
	"purertc/ice"
	"purertc/sctp"
)

// core is a peer without goroutine, lock, clock or socket: the layers, and
// the plain calls between them.
//
//	in:  ice.HandleDatagram → dtls.ReadRecord → sctp.HandlePacket → datachannel.Process
//	out: ice's own datagrams, else ice.BeginData → dtls's handshake, or
//	     dtls.BeginRecord → sctp.AppendPacket → dtls.FinishRecord → ice.FinishData
type core struct {
	agent   *ice.Agent
	dtls    *dtls.Conn // nil until both descriptions are known
	assoc   *sctp.Association
	session *datachannel.Session

	client       bool       // of DTLS
	yields       bool       // a client that becomes the server if the peer is a client too, after glare
	yielded      bool       // the peer is: the transport makes another DTLS connection
	beginAt      *time.Time // when such a client begins, if it heard of no other by then; nil: now, or never
	begun        bool       // the handshake
	datagramSize int        // the longest UDP payload
	discovery    bool       // longer ones are tried
	fragmented   bool       // by the system, so that trying tells nothing
	route        ice.Route
	early        [][]byte
	leaving      bool  // we ended it
	ended        bool  // assoc and session have come to their end
	err          error // why the connection failed or closed; nil while it has not
	remoteClosed bool  // the far end closed
	rtt          time.Duration
	used         time.Time // when what may be a record last came, or one went; zero: DTLS rests

	replacement replacement
}

// restAfter is how long after its last record a connection lets go of what it
// can make again. Once in so long that costs nothing, and thousands on one
// socket are mostly idle.
const restAfter = 2 * time.Second

// A handshake flight that comes before the answer is kept, so that it need
// not be sent again: browsers' first flight is two datagrams.
const (
	maxEarlyDatagrams = 4
	maxEarlySize      = 2048
)

func newCore(cfg *Config, agent *ice.Agent, random io.Reader) core {
	assoc := sctp.NewAssociation(sctp.Config{
		Rand:           random,
		MaxMessageSize: cfg.maxReceived(),
		MemoryLimit:    cfg.MemoryLimit,

		CongestionControl: cfg.CongestionControl,
	})
	return core{
		agent: agent, assoc: assoc,
		session:      datachannel.NewSession(assoc, datachannel.Config{MaxMessageSize: cfg.maxMessageSize(), MaxChannels: cfg.MaxChannels}),
		datagramSize: cfg.maxDatagramSize(), discovery: cfg.MaxDatagramSize == 0,
	}
}

// makeDTLS makes the DTLS connection, when both descriptions are known.
// beginDTLS follows.
func (c *core) makeDTLS(cfg dtls.Config) error {
	c.client = cfg.Client
	conn, err := dtls.NewConn(cfg)
	if err != nil {
		return err
	}
	c.dtls = conn
	if c.rtt > 0 {
		conn.SetRTT(c.rtt)
	}
	return nil
}

// glareDelay is how long after ICE's first pair a client waits after glare: a
// browser's ClientHello comes within a round trip then, and a ClientHello of this
// end would be fatal to it.
const glareDelay = time.Second

// beginDTLS begins the handshake, with what came before the description.
func (c *core) beginDTLS(now time.Time) {
	c.begun = true
	c.dtls.Start(now)
	early := c.early
	c.early = nil
	for _, b := range early {
		c.handleData(now, b)
	}
	c.process(now)
}

// handleDatagram takes one datagram. process follows, after the last one of a
// batch.
func (c *core) handleDatagram(now time.Time, r ice.Route, b []byte) {
	data, ok := c.agent.HandleDatagram(now, r, b)
	switch {
	case ok:
		if c.begun && !c.established() {
			c.agent.Reached(now) // the peer's DTLS begins when it has both descriptions
		}
		c.handleData(now, data)
	case data != nil && c.established() && c.handleData(now, data):
		c.agent.Authenticated(now)
	}
}

// handleData tells whether the newest record there is was in it, which the far
// end made, and nobody kept back until others had come (RFC 9146 §6).
func (c *core) handleData(now time.Time, b []byte) (proven bool) {
	if c.yields && !c.established() && dtls.IsClientHello(b) {
		c.yields, c.yielded, c.begun, c.beginAt = false, true, false, nil
	}
	if !c.begun {
		if len(c.early) < maxEarlyDatagrams && len(b) <= maxEarlySize {
			c.early = append(c.early, append([]byte(nil), b...))
		}
		return false
	}
	c.used = now
	for records := 0; len(b) > 0 && records < dtls.MaxRecords; records++ {
		data, n := c.dtls.ReadRecord(now, b)
		proven = proven || c.dtls.Newest()
		if len(data) > 0 {
			if c.assoc.State() == sctp.StateClosed {
				c.process(now) // it has to have begun to know the far end's INIT for its answer
			}
			c.assoc.HandlePacket(now, data)
		}
		b = b[n:]
	}
	return proven
}

// process moves what a batch of input, a timer or a call has caused from
// layer to layer.
func (c *core) process(now time.Time) {
	if c.dtls == nil || c.ended {
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
		c.takeRTT() // a pair's first check may not have told
	}
	c.session.Process(now)
}

func (c *core) handleDTLSEvent(now time.Time, e dtls.Event) {
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
			c.end(errRemoteClosed)
		}
	case dtls.EventFailed:
		c.end(fmt.Errorf("rtcpeer: DTLS: %w", e.Err))
	}
}

// errRemoteClosed is the cause where the peer closed the connection.
var errRemoteClosed = errors.New("rtcpeer: closed by the peer")

// remoteClosed is errRemoteClosed, with what told it; nil: close_notify.
func remoteClosed(by error) error {
	if by == nil {
		return errRemoteClosed
	}
	return fmt.Errorf("%w: %w", errRemoteClosed, by)
}

// handleAssociationEvent is for the events that concern the whole connection.
func (c *core) handleAssociationEvent(now time.Time, e sctp.Event) {
	switch e.Kind {
	case sctp.EventReplaced:
		c.associationReplaced(now, e)
	case sctp.EventClosed:
		c.end(errRemoteClosed)
	case sctp.EventFailed:
		if abort := (*sctp.AbortError)(nil); errors.As(e.Err, &abort) && abort.Remote {
			c.end(remoteClosed(e.Err))
		} else {
			c.end(fmt.Errorf("rtcpeer: SCTP: %w", e.Err))
		}
	}
}

// end notes why the connection is over.
func (c *core) end(err error) {
	if c.ended {
		return
	}
	c.ended, c.err = true, err
	c.remoteClosed = errors.Is(err, errRemoteClosed)
}

// pathLost has what was sent on a path that died sent again at once, on the
// one that replaced it.
func (c *core) pathLost(now time.Time) {
	if c.dtls != nil {
		c.dtls.PathLost(now)
		c.assoc.PathLost(now)
	}
}

// newPath has what was learnt of the old path forgotten.
func (c *core) newPath(now time.Time) {
	c.rtt = 0
	c.assoc.NewPath(now)
}

// setQuota bounds what the remote can make the layers keep, in bytes.
func (c *core) setQuota(n int) { c.assoc.Memory().SetQuota(n) }

// takeRTT passes the round-trip time that ICE measured to the layers above.
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

// appendDatagram appends the next datagram to dst; ok is false when there is
// none now. With own, only what ICE itself sends is.
func (c *core) appendDatagram(now time.Time, dst []byte, own bool) (b []byte, r ice.Route, ok bool) {
	if b, r, ok = c.agent.AppendDatagram(now, dst); ok {
		return b, r, true
	}
	if c.dtls == nil || own {
		return dst, ice.Route{}, false
	}
	start := len(dst)
	b, ok = c.agent.BeginData(dst)
	if !ok {
		return dst, ice.Route{}, false
	}
	limit := c.datagramSize - c.agent.DataOverhead()
	if b, ok = c.appendRecords(now, b, limit); !ok {
		return dst, ice.Route{}, false
	}
	b, r = c.agent.FinishData(b, start)
	c.used = now
	if !c.dtls.Established() || c.assoc.Awaiting() {
		c.agent.ExpectAnswer(now)
	}
	if r != c.route {
		c.setRoute(r)
	}
	return b, r, true
}

// appendRecords appends the records of one datagram: those of DTLS itself, or
// an SCTP packet. A datagram costs both ends about as much as all that is in
// it, so where the one follows from the other they go together: behind a
// server's last ACK the first packet of SCTP, and behind the last, which is an
// ABORT, close_notify.
func (c *core) appendRecords(now time.Time, b []byte, limit int) ([]byte, bool) {
	start := len(b)
	b, own := c.dtls.AppendHandshake(now, b, limit)
	if own && (c.client || c.assoc.State() > sctp.StateCookieWait) {
		return b, true
	}
	b, ok := c.appendRecord(now, b, limit-(len(b)-start))
	if ok && c.leaving {
		c.dtls.Close(now)
		b, _ = c.dtls.AppendHandshake(now, b, limit-(len(b)-start))
	}
	return b, own || ok
}

// leave ends the connection on our side: ABORT is sent, then close_notify.
func (c *core) leave(now time.Time) {
	c.assoc.Abort(now, "")
	c.leaving = true
}

// Path MTU discovery goes up to what Ethernet carries, and further, to jumbo
// frames and loopback interfaces, where the far end's record_size_limit (RFC
// 8449) says that it reads such records. Chromium does not: a datagram of more
// than 2048 bytes, were it but a probe, leaves a rest in its DTLS transport that
// every later one stumbles over, and nothing long arrives any more. And only
// where a probe that is too long is lost, and no more than that: Firefox closes
// a TCP connection by which a frame of more than 9216 bytes comes, and the one
// to its relay at 2048.
const (
	ethernetDatagramSize = 1472
	longDatagramSize     = 16000
)

// setRoute begins path MTU discovery anew for another route.
func (c *core) setRoute(r ice.Route) {
	c.route = r
	c.assoc.DiscoverPacketSize(0)
	c.discover()
}

// discover sets how far path MTU discovery goes.
func (c *core) discover() {
	if !c.discovery || c.fragmented && !c.route.Remote.Addr().IsLoopback() || !c.established() {
		return
	}
	most := ethernetDatagramSize
	if c.dtls.MaxPayload() < most {
		return // it reads no records even of that size
	}
	if c.dtls.PeerRecordSizeLimit() >= longDatagramSize && c.agent.Direct() {
		most = longDatagramSize
	}
	c.assoc.DiscoverPacketSize(most - c.datagramSize)
}

// assumePathSize tells SCTP what the handshake has shown of the path. Where none
// of its datagrams was as long as those of data may be, they begin shorter.
func (c *core) assumePathSize() {
	const framing = 32 // bytes by which a full datagram of the handshake may be shorter
	if limit := c.datagramSize - c.agent.DataOverhead(); c.dtls.PathSize()+framing < limit {
		c.assoc.AssumeShorter(limit - c.dtls.PathSize())
	}
}

// appendRecord appends an SCTP packet in a DTLS record (RFC 8261 §4).
func (c *core) appendRecord(now time.Time, b []byte, limit int) ([]byte, bool) {
	if !c.dtls.Established() {
		return b, false
	}
	record := len(b)
	b = c.dtls.BeginRecord(b)
	b, ok := c.assoc.AppendPacket(now, b, min(limit-c.dtls.Overhead(), c.dtls.MaxPayload()))
	if !ok {
		return b[:record], false
	}
	return c.dtls.FinishRecord(b, record), true
}

// established tells whether DTLS is.
func (c *core) established() bool { return c.dtls != nil && c.dtls.Established() }

// silent tells whether the far end is late with an answer.
func (c *core) silent(now time.Time) bool { return c.agent.LossTimerDue(now) || c.assoc.Silent(now) }

// heard is when the far end was last heard of: data of its, or an answer.
func (c *core) heard() time.Time {
	at := c.assoc.Heard()
	if t := c.agent.LastReceived(); t.After(at) {
		at = t
	}
	return at
}

// excuse tells the layers that the far end's silence is none. advance follows.
func (c *core) excuse(now time.Time) {
	c.agent.SuppressLossDetection(now)
	c.assoc.Excuse(now)
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
	if at := c.restAt(); !at.IsZero() && !now.Before(at) {
		c.dtls.Rest()
		c.session.Release()
		c.used = time.Time{}
	}
}

// restAt is when DTLS rests, if it is not used any more; zero: it does.
func (c *core) restAt() (at time.Time) {
	if !c.used.IsZero() {
		at = c.used.Add(restAfter)
	}
	return at
}

// rest has the agent, whose consent checks go on, keep as little between them
// as the layers above do meanwhile.
func (c *core) rest() {
	if c.used.IsZero() && c.dtls != nil && c.dtls.Established() {
		c.agent.Release()
	}
}

// nextTimeout is when advance has something to do; zero: never.
func (c *core) nextTimeout() time.Time {
	t := c.agent.NextTimeout()
	if c.dtls != nil {
		t = earlier(t, c.dtls.NextTimeout())
		if c.agent.State() != ice.StateFailed {
			// In StateFailed nothing can be sent: retransmissions that were not
			// would count as lost, and end the association before a restart.
			t = earlier(t, c.assoc.NextTimeout())
			t = earlier(t, c.session.NextTimeout())
			t = earlier(t, c.replacementTimeout())
		}
		t = earlier(t, c.restAt())
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
