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
//	in:  ice.HandleDatagram → dtls.HandleRecord → sctp.HandlePacket → datachannel.Process
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
func (p *core) makeDTLS(cfg dtls.Config) error {
	p.client = cfg.Client
	c, err := dtls.NewConn(cfg)
	if err != nil {
		return err
	}
	p.dtls = c
	if p.rtt > 0 {
		c.SetRTT(p.rtt)
	}
	return nil
}

// glareDelay is how long after ICE's first pair a client waits after glare: a
// browser's ClientHello comes within a round trip then, and a ClientHello of this
// end would be fatal to it.
const glareDelay = time.Second

// beginDTLS begins the handshake, with what came before the description.
func (p *core) beginDTLS(now time.Time) {
	p.begun = true
	p.dtls.Start(now)
	early := p.early
	p.early = nil
	for _, b := range early {
		p.handleData(now, b)
	}
	p.process(now)
}

// handleDatagram takes one datagram. process follows, after the last one of a
// batch.
func (p *core) handleDatagram(now time.Time, r ice.Route, b []byte) {
	data, ok := p.agent.HandleDatagram(now, r, b)
	switch {
	case ok:
		if p.begun && !p.established() {
			p.agent.Reached(now) // the peer's DTLS begins when it has both descriptions
		}
		p.handleData(now, data)
	case data != nil && p.established() && p.handleData(now, data):
		p.agent.Authenticated(now)
	}
}

// handleData tells whether the newest record there is was in it, which the far
// end made, and nobody kept back until others had come (RFC 9146 §6).
func (p *core) handleData(now time.Time, b []byte) (proven bool) {
	if p.yields && !p.established() && dtls.IsClientHello(b) {
		p.yields, p.yielded, p.begun, p.beginAt = false, true, false, nil
	}
	if !p.begun {
		if len(p.early) < maxEarlyDatagrams && len(b) <= maxEarlySize {
			p.early = append(p.early, append([]byte(nil), b...))
		}
		return false
	}
	p.used = now
	for records := 0; len(b) > 0 && records < dtls.MaxRecords; records++ {
		data, n := p.dtls.HandleRecord(now, b)
		proven = proven || p.dtls.Newest()
		if len(data) > 0 {
			if p.assoc.State() == sctp.StateClosed {
				p.process(now) // it has to have begun to know the far end's INIT for its answer
			}
			p.assoc.HandlePacket(now, data)
		}
		b = b[n:]
	}
	return proven
}

// process moves what a batch of input, a timer or a call has caused from
// layer to layer.
func (p *core) process(now time.Time) {
	if p.dtls == nil || p.ended {
		return
	}
	if !p.dtls.Established() {
		p.dtls.SetUntimed(now, !p.agent.Ready())
	}
	for {
		e, ok := p.dtls.NextEvent()
		if !ok {
			break
		}
		p.handleDTLSEvent(now, e)
	}
	if p.rtt == 0 {
		p.takeRTT() // a pair's first check may not have told
	}
	p.session.Process(now)
}

func (p *core) handleDTLSEvent(now time.Time, e dtls.Event) {
	switch e.Kind {
	case dtls.EventEstablished:
		p.takeRTT()
		p.assumePathSize()
		p.discover()
		p.session.Start(now, p.client)
		p.assoc.Connect(now)
		if p.replacement.state == replacementBegun {
			p.replacement.state = replacementNone
		}
	case dtls.EventClosed:
		if !p.replaced(now) {
			p.end(errRemoteClosed)
		}
	case dtls.EventFailed:
		p.end(fmt.Errorf("rtcpeer: DTLS: %w", e.Err))
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
func (p *core) handleAssociationEvent(now time.Time, e sctp.Event) {
	switch e.Kind {
	case sctp.EventReplaced:
		p.associationReplaced(now, e)
	case sctp.EventClosed:
		p.end(errRemoteClosed)
	case sctp.EventFailed:
		if abort := (*sctp.AbortError)(nil); errors.As(e.Err, &abort) && abort.Remote {
			p.end(remoteClosed(e.Err))
		} else {
			p.end(fmt.Errorf("rtcpeer: SCTP: %w", e.Err))
		}
	}
}

// end notes why the connection is over.
func (p *core) end(err error) {
	if p.ended {
		return
	}
	p.ended, p.err = true, err
	p.remoteClosed = errors.Is(err, errRemoteClosed)
}

// pathLost has what was sent on a path that died sent again at once, on the
// one that replaced it.
func (p *core) pathLost(now time.Time) {
	if p.dtls != nil {
		p.dtls.PathLost(now)
		p.assoc.PathLost(now)
	}
}

// newPath has what was learnt of the old path forgotten.
func (p *core) newPath(now time.Time) {
	p.rtt = 0
	p.assoc.ChangePath(now)
}

// setQuota bounds what the remote can make the layers keep, in bytes.
func (p *core) setQuota(n int) { p.assoc.Memory().SetQuota(n) }

// takeRTT passes the round-trip time that ICE measured to the layers above.
func (p *core) takeRTT() {
	rtt := p.agent.RTT()
	if rtt == 0 || rtt == p.rtt {
		return
	}
	p.rtt = rtt
	p.assoc.SetRTT(rtt)
	if p.dtls != nil {
		p.dtls.SetRTT(rtt)
	}
}

// appendDatagram appends the next datagram to dst; ok is false when there is
// none now. With own, only what ICE itself sends is.
func (p *core) appendDatagram(now time.Time, dst []byte, own bool) (b []byte, r ice.Route, ok bool) {
	if b, r, ok = p.agent.AppendDatagram(now, dst); ok {
		return b, r, true
	}
	if p.dtls == nil || own {
		return dst, ice.Route{}, false
	}
	start := len(dst)
	b, ok = p.agent.BeginData(dst)
	if !ok {
		return dst, ice.Route{}, false
	}
	limit := p.datagramSize - p.agent.DataOverhead()
	if b, ok = p.appendRecords(now, b, limit); !ok {
		return dst, ice.Route{}, false
	}
	b, r = p.agent.FinishData(b, start)
	p.used = now
	if !p.dtls.Established() || p.assoc.Awaiting() {
		p.agent.ExpectAnswer(now)
	}
	if r != p.route {
		p.setRoute(r)
	}
	return b, r, true
}

// appendRecords appends the records of one datagram: those of DTLS itself, or
// an SCTP packet. A datagram costs both ends about as much as all that is in
// it, so where the one follows from the other they go together: behind a
// server's last ACK the first packet of SCTP, and behind the last, which is an
// ABORT, close_notify.
func (p *core) appendRecords(now time.Time, b []byte, limit int) ([]byte, bool) {
	start := len(b)
	b, own := p.dtls.AppendDatagram(now, b, limit)
	if own && (p.client || p.assoc.State() > sctp.StateCookieWait) {
		return b, true
	}
	b, ok := p.appendRecord(now, b, limit-(len(b)-start))
	if ok && p.leaving {
		p.dtls.Close(now)
		b, _ = p.dtls.AppendDatagram(now, b, limit-(len(b)-start))
	}
	return b, own || ok
}

// leave ends the connection on our side: ABORT is sent, then close_notify.
func (p *core) leave(now time.Time) {
	p.assoc.Abort(now, "")
	p.leaving = true
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
func (p *core) setRoute(r ice.Route) {
	p.route = r
	p.assoc.DiscoverPacketSize(0)
	p.discover()
}

// discover sets how far path MTU discovery goes.
func (p *core) discover() {
	if !p.discovery || p.fragmented && !p.route.Remote.Addr().IsLoopback() || !p.established() {
		return
	}
	most := ethernetDatagramSize
	if p.dtls.MaxPayload() < most {
		return // it reads no records even of that size
	}
	if p.dtls.PeerRecordSizeLimit() >= longDatagramSize && p.agent.Direct() {
		most = longDatagramSize
	}
	p.assoc.DiscoverPacketSize(most - p.datagramSize)
}

// assumePathSize tells SCTP what the handshake has shown of the path. Where none
// of its datagrams was as long as those of data may be, they begin shorter.
func (p *core) assumePathSize() {
	const framing = 32 // bytes by which a full datagram of the handshake may be shorter
	if limit := p.datagramSize - p.agent.DataOverhead(); p.dtls.PathSize()+framing < limit {
		p.assoc.AssumeShorter(limit - p.dtls.PathSize())
	}
}

// appendRecord appends an SCTP packet in a DTLS record (RFC 8261 §4).
func (p *core) appendRecord(now time.Time, b []byte, limit int) ([]byte, bool) {
	if !p.dtls.Established() {
		return b, false
	}
	record := len(b)
	b = p.dtls.BeginRecord(b)
	b, ok := p.assoc.AppendPacket(now, b, min(limit-p.dtls.Overhead(), p.dtls.MaxPayload()))
	if !ok {
		return b[:record], false
	}
	return p.dtls.FinishRecord(b, record), true
}

// established tells whether DTLS is.
func (p *core) established() bool { return p.dtls != nil && p.dtls.Established() }

// silent tells whether the far end is late with an answer.
func (p *core) silent(now time.Time) bool {
	return p.agent.LossTimerDue(now) || p.assoc.LossTimerDue(now)
}

// heard is when the far end was last heard of: data of its, or an answer.
func (p *core) heard() time.Time {
	at := p.assoc.LastReceived()
	if t := p.agent.LastReceived(); t.After(at) {
		at = t
	}
	return at
}

// excuse tells the layers that the far end's silence is none. advance follows.
func (p *core) excuse(now time.Time) {
	p.agent.SuppressLossDetection(now)
	p.assoc.SuppressLossDetection(now)
}

// advance runs the timers that are due.
func (p *core) advance(now time.Time) {
	p.agent.Advance(now)
	if p.beginAt != nil && !now.Before(*p.beginAt) {
		p.beginAt = nil
		p.beginDTLS(now)
	}
	if p.dtls != nil {
		p.dtls.Advance(now)
		if p.agent.State() != ice.StateFailed {
			p.assoc.Advance(now)
			p.session.Advance(now)
			p.advanceReplacement(now)
		}
	}
	p.process(now)
	if at := p.restAt(); !at.IsZero() && !now.Before(at) {
		p.dtls.Release()
		p.session.Release()
		p.used = time.Time{}
	}
}

// restAt is when DTLS rests, if it is not used any more; zero: it does.
func (p *core) restAt() (at time.Time) {
	if !p.used.IsZero() {
		at = p.used.Add(restAfter)
	}
	return at
}

// rest has the agent, whose consent checks go on, keep as little between them
// as the layers above do meanwhile.
func (p *core) rest() {
	if p.used.IsZero() && p.dtls != nil && p.dtls.Established() {
		p.agent.Release()
	}
}

// nextTimeout is when advance has something to do; zero: never.
func (p *core) nextTimeout() time.Time {
	t := p.agent.NextTimeout()
	if p.dtls != nil {
		t = earlier(t, p.dtls.NextTimeout())
		if p.agent.State() != ice.StateFailed {
			// In StateFailed nothing can be sent: retransmissions that were not
			// would count as lost, and end the association before a restart.
			t = earlier(t, p.assoc.NextTimeout())
			t = earlier(t, p.session.NextTimeout())
			t = earlier(t, p.replacementTimeout())
		}
		t = earlier(t, p.restAt())
		if p.beginAt != nil {
			t = earlier(t, *p.beginAt)
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
