package rtcpeer

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"purertc/dtls"
	"purertc/ice"
	"purertc/rtcpeer/internal/udpmux"
)

// A peer is one connection of the built-in stack: the core, and what it lacks
// to be real: a lock, a timer, sockets. Whoever has input, be it a socket's
// reader, the timer or the program, takes the lock, runs the core to
// completion and sends what came of it.
type peer struct {
	cfg     Config
	log     *slog.Logger
	network network
	random  io.Reader
	now     func() time.Time
	place   wheelPlace // in the host's wheel

	timed     bool // by timers; a simulation calls fire itself
	multicast bool // the machine's network, where names can be asked for

	// What follows is guarded by mu.
	closed   bool
	over     bool // nothing more can be sent or received
	leaving  bool // shutdown waits for that
	full     bool // a socket is full: output waits for Writable
	deferred bool // the timer fired too late once, and was put off: before the connection is up

	memory  *hostMemory  // the Host's; nil: none
	counted bool         // in memory.peers
	charged atomic.Int64 // bytes of memory.used

	suspects  *suspicion // nil: of none but this one
	suspected uint32     // the window that it was counted in last
	excuses   uint8      // for the far end's silence since it was heard of
	excusedAt time.Time  // the last time

	mu       peerMutex
	core     core
	neg      negotiation
	events   eventQueue
	channels channelList
	queue    inputQueue // has a lock of its own
	ended    signal     // set with over
	cause    error      // of closed, or of failed

	state     ConnectionState // the true one
	gatherer  gatherer
	remote    remoteCandidates
	maxRemote int // the peer's max-message-size in bytes; 0: no limit

	ports   []port // the sockets, by the Sock of their routes
	mdns    *mdnsUser
	traffic traffic
	timer   *time.Timer   // nil: not needed yet, or replaced by the host's wheel
	armed   time.Time     // when the timer fires; zero: it is not set
	slack   time.Duration // how much later than armed
}

func newPeer(cfg Config, random io.Reader, notify func()) (*peer, error) {
	if random == nil {
		random = rand.Reader
	}
	neg, err := newNegotiation(random)
	if err != nil {
		return nil, err
	}
	log := cfg.Logger
	if log == nil {
		log = silence
	}
	agent := ice.NewAgent(ice.Config{
		RelayOnly: cfg.ICETransportPolicy == ICETransportPolicyRelay, Lite: cfg.ICELite,
		Ufrag: neg.local.ufrag, Pwd: neg.local.pwd, Rand: random,
	})
	p := &peer{
		cfg: cfg, log: log, network: privateNetwork{log, cfg.LocalAddresses, cfg.MinPort, cfg.MaxPort, cfg.BusyPoll}, random: random, now: time.Now, timed: true, multicast: true,
		core: newCore(&cfg, agent, random), neg: neg,
		mu: peerMutex{notify: notify},
	}
	p.mu.peer = p
	p.core.fragmented = !udpmux.Unfragmented
	return p, nil
}

// silence is the log of those that have none.
var silence = slog.New(slog.DiscardHandler)

// traffic counts what goes through a peer's sockets, in datagrams and bytes of
// UDP payload.
type traffic struct {
	packetsSent, packetsReceived uint64
	bytesSent, bytesReceived     uint64
	changes                      uint64 // of the selected pair
}

// emit queues an event for the program, and makes Unlock call notify.
func (p *peer) emit(e Event) {
	p.events.push(e)
	p.mu.notified = true
}

func (p *peer) nextEvent() (Event, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, ok := p.events.pop()
	if !ok {
		return e, false
	}
	if c, ok := e.Channel.(*stackChannel); ok {
		c.taken(&e)
	}
	return e, true
}

// run brings the core to completion after input: events are taken, output is
// sent, the timer is set. The lock is held.
func (p *peer) run(now time.Time) {
	if p.core.yielded {
		p.yieldRole(now)
	}
	p.core.setQuota(p.memory.quota())
	p.core.process(now)
	p.takeEvents(now)
	if d := p.core.replacement.answer; d != nil {
		p.emitAnswer(now, d)
	}
	p.flush(now)
	p.core.rest()
	p.takeLowered()
	p.arm(now)
	p.charge()
}

// HandleDatagrams is of udpmux.Handler.
func (p *peer) HandleDatagrams(now time.Time, r ice.Route, b []byte, segment int) {
	// STUN alone is cheap, and not worth a change of goroutines.
	cheap := len(b) > 0 && len(b) <= segment && b[0] < 4
	if !p.enter(p.shared(r.Sock), cheap) {
		p.postDatagrams(now, r, b, segment)
		return
	}
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.take(now, r, b, segment)
	p.run(now)
}

// take gives the core what one read brought. The lock is held; run follows.
func (p *peer) take(now time.Time, r ice.Route, b []byte, segment int) {
	p.core.setQuota(p.memory.quota())
	for len(b) > 0 {
		n := min(segment, len(b))
		if p.cfg.Filter == nil || r.Sock == ice.SockMDNS || p.cfg.Filter(false, b[:n:n]) {
			p.traffic.packetsReceived++
			p.traffic.bytesReceived += uint64(n)
			p.core.handleDatagram(now, r, b[:n:n])
		}
		b = b[n:]
	}
}

// Writable is of udpmux.Handler.
func (p *peer) Writable(sock ice.Sock) {
	if !p.enter(p.shared(sock), true) {
		p.post(func(in *input) { in.writable = true })
		return
	}
	defer p.mu.Unlock()
	p.full = false
	if !p.closed {
		p.run(p.now())
	}
}

// SocketClosed is of udpmux.Handler.
func (p *peer) SocketClosed(sock ice.Sock, err error) {
	p.giveClosed(closedRoute{ice.Route{Sock: sock}, err})
}

// RouteClosed is of handler.
func (p *peer) RouteClosed(r ice.Route, err error) { p.giveClosed(closedRoute{r, err}) }

// giveClosed gives the peer the news of a socket or connection that failed.
func (p *peer) giveClosed(c closedRoute) {
	if !p.enter(p.shared(c.route.Sock), true) {
		p.postClosed(c)
		return
	}
	defer p.mu.Unlock()
	if !p.closed {
		now := p.now()
		p.routeClosed(now, c)
		p.run(now)
	}
}

// routeClosed takes what giveClosed gives. The lock is held; run follows.
func (p *peer) routeClosed(now time.Time, c closedRoute) {
	p.full = false
	if c.route.Remote.IsValid() {
		p.log.Debug("connection closed", "local", c.route.Local, "remote", c.route.Remote, "error", c.err)
		p.core.agent.RouteClosed(now, c.route, c.err)
		return
	}
	for _, l := range p.gatherer.locals {
		if l.sock == c.route.Sock {
			p.log.Warn("socket failed", "address", l.addr, "error", c.err)
			p.core.agent.RemoveLocal(now, l.sock, l.addr)
		}
	}
	p.connectionLost(now, c.route.Sock, c.err)
}

// arm sets the timer if the next deadline is earlier than what it is set to.
// One that has moved to later is looked at when the timer fires: most move
// with every datagram.
//
// A connected peer of a host is in the host's wheel, unless something is due
// very soon. At rest moving there is cheap.
func (p *peer) arm(now time.Time) {
	t := p.core.nextTimeout()
	if p.closed || !p.timed || t.IsZero() {
		return
	}
	wait := max(0, t.Sub(now))
	wheeled := p.cfg.Host != nil && p.state == StateConnected && wait >= wheelLeast
	if wheeled && p.core.used.IsZero() {
		if !t.Equal(p.armed) || p.timer != nil {
			p.armed, p.slack = t, p.cfg.Host.wheel.add(p, t, wait)
			p.dropTimer()
		}
		return
	}
	// What was set while nothing was urgent may fire too late for what is now.
	hurries := p.slack > 0 && wait < slackFrom && !p.core.used.IsZero()
	if !p.armed.IsZero() && !t.Before(p.armed) && !hurries {
		return
	}
	if wheeled {
		p.armed, p.slack = t, p.cfg.Host.wheel.add(p, t, wait)
		if p.timer != nil {
			p.timer.Stop() // and kept, as long as data flows
		}
		return
	}
	p.armed, p.slack = t, slackOf(time.Duration(t.UnixNano()), wait)
	p.setTimer(wait + p.slack)
}

func (p *peer) setTimer(wait time.Duration) {
	if p.timer == nil {
		p.timer = time.AfterFunc(wait, p.fire)
	} else {
		p.timer.Reset(wait)
	}
}

func (p *peer) dropTimer() {
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
}

// slackOf is how much later a timer fires that is due at a time, given from any
// moment on, and that is wait away. So the keepalives of many peers wake the
// process together: for a thousand that rest, twice a second and not two
// hundred times. It is at most 1/8 of the wait, and none for what may be a
// retransmission.
func slackOf(due, wait time.Duration) time.Duration {
	if wait <= slackFrom {
		return 0
	}
	grid := slackFrom >> 3
	for grid<<4 <= wait {
		grid <<= 1
	}
	return grid - due%grid
}

// slackFrom is more than any retransmission's first timeout, and no less than
// restAfter.
const slackFrom = 2 * time.Second

// fire is what the peer's own timer calls.
func (p *peer) fire() {
	at := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expire(at)
}

// fireAt is what the wheel calls, for one peer after the other: at is when it
// began.
func (p *peer) fireAt(at time.Time) {
	if !p.enter(true, true) {
		p.post(func(in *input) { in.expired, in.expiredAt = true, at })
		return
	}
	defer p.mu.Unlock()
	p.expire(at)
}

// expire runs the timers that are due. The lock is held; at is when the timer
// fired.
func (p *peer) expire(at time.Time) {
	due := p.armed
	p.armed = time.Time{}
	if p.closed {
		return
	}
	now := p.now()
	if t := p.core.nextTimeout(); t.IsZero() || t.After(now) {
		p.arm(now)
		return
	}
	late := at.Sub(due) - p.slack
	switch {
	case !p.timed:
	case !p.core.established():
		if p.deferred = late > overloaded && !p.deferred; p.deferred {
			p.armed = due
			p.setTimer(2 * late)
			return
		}
	case p.core.silent(now) && p.excused(now, late):
		p.core.excuse(now)
	}
	p.core.advance(now)
	p.run(now)
}

// overloaded is how late a timer fires at most in a process that keeps up. In
// one that does not, what the timer waits for has likely come and is in a
// socket's buffer: to send again would only add to the load, of both ends. So
// until the connection is up the timer is put off once, by twice as much as it
// was late. From then on what is owed to the far end goes, and only its silence
// is excused.
const overloaded = 20 * time.Millisecond

// excusesMost bounds the excuses for one silence, to about a second of data: a
// path may die, whatever else is amiss.
const excusesMost = 4

// excused tells whether the far end's silence is put down to something else
// than its path, and it is waited for longer.
func (p *peer) excused(now time.Time, late time.Duration) bool {
	if p.core.heard().After(p.excusedAt) {
		p.excuses = 0
	}
	if p.excuses == excusesMost || late <= overloaded && p.suspects.admit(now, &p.suspected) {
		return false
	}
	p.excuses++
	p.excusedAt = now
	return true
}

// takeEvents turns the layers' events into the program's.
func (p *peer) takeEvents(now time.Time) {
	for {
		e, ok := p.core.agent.NextEvent()
		if !ok {
			break
		}
		p.handleICEEvent(now, e)
	}
	for {
		e, ok := p.core.session.NextEvent()
		if !ok {
			break
		}
		p.handleSessionEvent(now, e)
	}
	if p.core.replacement.state == replacementDue {
		p.beginReplacement(now)
	}
	p.updateState()
	switch {
	case !p.core.ended:
	case p.core.remoteClosed:
		p.shut(now, p.core.err)
	default:
		p.endChannels(closedBy(p.core.err))
		p.finish()
	}
}

// finish lets a shutdown that waits go on.
func (p *peer) finish() {
	p.over = true
	p.ended.set()
}

// endChannels closes all channels, in the order of their making.
func (p *peer) endChannels(cause error) {
	for c := p.channels.first; c != nil; c = p.channels.first {
		p.channels.remove(c)
		c.connectionClosed(cause)
	}
}

func (p *peer) handleICEEvent(now time.Time, e ice.Event) {
	switch e.Kind {
	case ice.EventCandidate:
		p.gathered(e.Candidate)
	case ice.EventGatheringComplete:
		p.gatheringComplete()
	case ice.EventRouteAdded:
		if q := p.port(e.Route.Sock); q != nil {
			if err := q.Bind(e.Route.Remote); errors.Is(err, udpmux.ErrTaken) {
				p.log.Debug("address is another connection's until a check sent there is answered", "remote", e.Route.Remote)
			} else if err != nil {
				p.log.Warn("address not bound", "remote", e.Route.Remote, "error", err)
			}
		}
	case ice.EventRouteRemoved:
		if q := p.port(e.Route.Sock); q != nil {
			q.Unbind(e.Route.Remote)
		}
	case ice.EventSelected:
		p.traffic.changes++
		p.full = false // of another socket, or found again at once
		p.log.Debug("pair selected", "local", e.Route.Local, "remote", e.Route.Remote)
		p.claim(e.Route)
		if e.Lost {
			p.core.pathLost(now)
		}
		if e.Moved {
			p.core.newPath(now)
		}
		p.core.doubt(now)
		if p.core.yields && !p.core.begun {
			p.core.beginAt = new(now.Add(glareDelay))
		}
		p.core.takeRTT()
	case ice.EventAlternate:
		p.sentOn(e)
	case ice.EventConnectionGone:
		p.connectionLost(now, e.Sock, e.Err)
	case ice.EventServerError:
		p.log.Warn("server failed", "url", e.URL, "error", e.Err)
	}
}

// A claimer is a port whose addresses belong to one peer or another.
type claimer interface {
	Claim(remote netip.AddrPort) error
}

// claim makes sure of the address that data comes from: of a selected pair, so
// a check sent there was answered. A lite end sends none.
func (p *peer) claim(r ice.Route) {
	if q, ok := p.port(r.Sock).(claimer); ok && !p.cfg.ICELite {
		if err := q.Claim(r.Remote); err != nil {
			p.log.Warn("address not bound", "remote", r.Remote, "error", err)
		}
	}
}

func (p *peer) port(sock ice.Sock) port {
	if sock < 0 || int(sock) >= len(p.ports) {
		return nil
	}
	return p.ports[sock]
}

// updateState emits the connection's state when it has changed: the worst of
// the ICE and DTLS transports.
func (p *peer) updateState() {
	s, cause := p.state, error(nil)
	established := p.core.dtls != nil && p.core.dtls.Established()
	switch a := p.core.agent.State(); {
	case p.core.ended && !p.core.remoteClosed:
		s, cause = StateFailed, p.core.err
	case p.core.ended:
		return // shut follows
	case a == ice.StateFailed:
		s, cause = StateFailed, p.core.agent.Err()
	case a == ice.StateDisconnected && (established || p.state == StateDisconnected):
		s = StateDisconnected
	case established && (a == ice.StateConnected || a == ice.StateCompleted):
		s = StateConnected
	case p.state != StateNew || a != ice.StateNew:
		if p.state != StateConnected {
			s = StateConnecting
		}
	}
	p.setState(s, cause)
}

// failure returns the cause of StateFailed, for calls that would wait; nil in
// other states, and while a restart is wanted or under way.
func (p *peer) failure() error {
	if p.state != StateFailed || p.neg.restart || p.neg.next.ufrag != "" {
		return nil
	}
	return p.cause
}

func (p *peer) setState(s ConnectionState, cause error) {
	if s == p.state {
		return
	}
	p.suspects.count(p.state, s)
	p.state = s
	if s == StateConnected || s == StateFailed || s == StateClosed {
		p.queue.direct.Store(true) // also after a failure: a restart is rare enough
	}
	if s == StateConnected {
		p.neg.forget()
		if !p.cfg.MDNSCandidates {
			p.releaseMDNS()
		}
	}
	if s == StateFailed {
		p.cause = failedBy(cause)
		p.emit(Event{Kind: EventError, Err: p.cause})
		for c := p.channels.first; c != nil; c = c.next {
			c.wake()
		}
		if p.leaving {
			p.finish()
		}
	}
	p.emit(Event{Kind: EventConnectionState, State: int(s)})
}

// close ends the connection on the program's wish.
func (p *peer) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	now := p.now()
	// The peer is told in what order it can still read: ABORT, close_notify,
	// then relays are given back.
	p.core.assoc.Flush()
	p.flush(now)
	p.core.leave(now)
	p.flush(now)
	p.shut(now, nil)
	p.events.clear() // the program knows
	p.mu.notified = false
}

// shut frees everything; what was received stays readable.
func (p *peer) shut(now time.Time, cause error) {
	if p.closed {
		return
	}
	if p.core.dtls != nil {
		p.flush(now) // SHUTDOWN COMPLETE has to go before the keys do
		p.core.dtls.Close(now)
		p.flush(now)
	}
	p.core.agent.Close(now)
	p.flush(now)
	if cause == nil && p.state == StateFailed {
		cause = p.cause // why it was of no use any more
	}
	p.closed, p.cause = true, closedBy(cause)
	p.uncharge()
	p.finish()
	p.dropTimer()
	if p.cfg.Host != nil {
		p.cfg.Host.wheel.remove(p)
	}
	p.gatherer.stop()
	p.gatherer.forgetRetries()
	if p.gatherer.unwatch != nil {
		p.gatherer.unwatch()
	}
	p.releaseMDNS()
	for _, q := range p.ports {
		if q != nil {
			q.Close()
		}
	}
	p.ports = nil
	p.endChannels(p.cause)
	p.setState(StateClosed, nil)
}

// startTransport starts ICE and DTLS, or moves ICE to a new generation, when
// both descriptions are known.
func (p *peer) startTransport(now time.Time) error {
	local, remote := p.neg.localApplied(), p.neg.remote()
	told := remote.data()
	if told.Index < 0 && p.core.dtls == nil {
		return nil // an offer of media only: a later one may have a data section
	}
	if local.data().Rejected || told.Rejected {
		p.core.end(errRejected)
		return nil
	}
	if p.core.dtls == nil {
		if err := p.startDTLS(now, local, remote); err != nil {
			return err
		}
	}
	p.maxRemote = told.MaxMessageSize
	p.core.assoc.SetRemotePort(uint16(told.SCTPPort))
	p.core.agent.SetRenomination(slices.Contains(told.ICEOptions, renomination))
	p.core.agent.SetRemote(now, told.Ufrag, told.Pwd, told.ICELite)
	if local.typ != "offer" {
		p.core.agent.AnswerPending(now)
	}
	p.remote.apply(p, now, remote)
	return nil
}

// yieldRole makes the DTLS client the server. After glare a browser is always
// the client: it answers the local offer as active, and the answer comes too late
// to be applied.
func (p *peer) yieldRole(now time.Time) {
	p.core.yielded = false
	p.core.dtls.Close(now)
	if err := p.makeDTLS(now, p.neg.remote(), false); err != nil {
		p.core.end(err)
	}
}

func (p *peer) startDTLS(now time.Time, local, remote *description) error {
	client := isClient(local, remote)
	p.core.yields = client && local.typ != "offer" && p.neg.glare != noGlare
	return p.makeDTLS(now, remote, client)
}

func (p *peer) makeDTLS(now time.Time, remote *description, client bool) error {
	cert, err := p.certificate()
	if err != nil {
		return err
	}
	minVersion, err := dtlsVersion(p.cfg.MinDTLS)
	if err != nil {
		return err
	}
	maxVersion, err := dtlsVersion(p.cfg.MaxDTLS)
	if err != nil {
		return err
	}
	var fingerprints []dtls.Fingerprint
	for _, f := range remote.data().Fingerprints {
		fingerprints = append(fingerprints, dtls.Fingerprint{Hash: f.Hash, Value: f.Value})
	}
	// RFC 8844 §4.3. The local description has a tls-id if the remote one has it;
	// a peer without one, such as a browser, does not know the extension.
	localID, remoteID := "", remote.data().TLSID
	if remoteID != "" {
		localID = p.neg.tlsID
	}
	p.neg.client, p.neg.roleKnown = client, true
	err = p.core.makeDTLS(dtls.Config{
		Client: p.neg.client, Certificate: cert, Fingerprints: fingerprints,
		MinVersion: minVersion, MaxVersion: maxVersion,
		// There is no media, but some peers, pion among them, end a handshake
		// without use_srtp (RFC 5764 §4.1.1).
		SRTPProfiles:      []uint16{srtpAES128GCM, srtpAES128CM},
		ExternalSessionID: localID, PeerExternalSessionID: remoteID,
		// So that the far end says what it accepts; see core.discover.
		RecordSizeLimit:     maxRecord,
		DiscardCertificates: true, // the fingerprint says all
		Rand:                p.random, KeyLogWriter: lockedKeyLog(p.cfg.KeyLogWriter),
	})
	if err == nil && !p.core.yields {
		if p.queue.direct.Load() {
			p.core.beginDTLS(now)
		} else {
			p.post(func(in *input) { in.start = true })
		}
	}
	return err
}

// SRTP protection profiles (RFC 7714 §14.2, RFC 5764 §4.1.2).
const (
	srtpAES128CM  = 0x0001
	srtpAES128GCM = 0x0007
)

// maxRecord is the longest record of DTLS 1.3, with its content type.
const maxRecord = 1<<14 + 1

// shutdown sends what is queued and ends the association in agreement with
// the peer.
func (p *peer) shutdown(ctx context.Context) error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		_, err := p.outcome()
		return err
	}
	now := p.now()
	connected := (p.core.established() || p.core.replacement.state >= replacementDue) && p.state != StateFailed
	p.leaving = true
	p.core.assoc.Shutdown(now)
	p.run(now)
	var lost error // of what was queued
	if p.state == StateFailed && !p.core.assoc.Delivered() {
		lost = p.cause
	}
	p.mu.Unlock()
	if !connected {
		return lost // nil: nothing can have been queued, or all has arrived
	}
	for {
		over, err := p.outcome()
		if over {
			p.ended.set() // for other waiters
			return err
		}
		if err := p.ended.wait(ctx); err != nil {
			return err
		}
	}
}

// outcome tells whether the connection is over, and why, if it failed or was
// closed before all was delivered.
func (p *peer) outcome() (over bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == StateFailed || p.over && !p.core.assoc.Delivered() {
		err = p.cause
	}
	return p.over, err
}

// A batch is the buffer that datagrams are collected in for one write. It
// belongs to whoever flushes, never to a peer.
type batch struct{ b []byte }

// batchSize is what one write with segmentation offload takes: UDP's longest
// payload over IPv4. batchSegments is Linux's limit, less than which keep a
// burst within the receive buffers of stock systems.
const (
	batchSize     = 65000
	batchSegments = 48
)

// smallBatchSize is enough for a flight of DTLS, for acknowledgements and for
// small messages. Most flushes have no more to send, and a large buffer for
// each peer that flushes now and then would be a tenth of the garbage of
// setting up connections: the collector takes what a pool lends rarely.
const smallBatchSize = 4 << 10

var (
	batches      = sync.Pool{New: func() any { return &batch{make([]byte, 0, batchSize+maxDatagramSize)} }}
	smallBatches = sync.Pool{New: func() any { return &batch{make([]byte, 0, smallBatchSize+ethernetDatagramSize)} }}
)

// flush sends what the core has to send, as long as the sockets take it.
// Datagrams of one size and one route go out in one write.
//
// While a socket is full only ICE's own datagrams go out, which are few: they
// are how a connection that stands still is left for another.
func (p *peer) flush(now time.Time) {
	buffers, most := &batches, batchSize
	if p.core.assoc.Pending() < smallBatchSize {
		buffers, most = &smallBatches, smallBatchSize
	}
	var (
		buffer  = buffers.Get().(*batch)
		b       = buffer.b[:0]
		route   ice.Route
		segment int // the size of each datagram in b but the last
		count   int
	)
	for {
		start := len(b)
		next, r, ok := p.core.appendDatagram(now, b, p.full)
		if !ok {
			break
		}
		size := len(next) - start
		if start > 0 && (r != route || size > segment) {
			p.write(route, next[:start], segment)
			b = next[:copy(next, next[start:])]
			start = 0
		} else {
			b = next
		}
		if start == 0 {
			route, segment, count = r, size, 0
		}
		// A shorter datagram can only be the last one of a write.
		if count++; size < segment || count == batchSegments || len(b)+segment > most {
			p.write(route, b, segment)
			b = b[:0]
		}
	}
	if len(b) > 0 {
		p.write(route, b, segment)
	}
	buffers.Put(buffer)
}

func (p *peer) write(r ice.Route, b []byte, segment int) {
	if r.Sock == ice.SockMDNS {
		p.writeMDNS(r, b)
		return
	}
	p.traffic.packetsSent += uint64((len(b) + segment - 1) / segment)
	p.traffic.bytesSent += uint64(len(b))
	if q := p.port(r.Sock); q != nil && !q.Write(r, b, segment) {
		p.full = true
	}
}
