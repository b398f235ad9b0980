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
type transport struct {
	cfg    Config
	log    *slog.Logger
	random io.Reader
	now    func() time.Time
	place  wheelPlace // in the host's wheel

	timed bool // by timers; a simulation calls fire itself

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

	mu       transportMutex
	core     core
	neg      negotiation
	events   eventQueue
	channels channelList
	queue    inputQueue // has a lock of its own
	ended    signal     // set with over
	cause    error      // of closed, or of failed

	state     ConnectionState // the true one
	gatherer  gatherer
	gathering GatheringState // the one emitted last
	remote    remoteCandidates
	maxRemote int // the peer's max-message-size in bytes; 0: no limit

	traffic traffic
	timer   *time.Timer   // nil: not needed yet, or replaced by the host's wheel
	armed   time.Time     // when the timer fires; zero: it is not set
	slack   time.Duration // how much later than armed
}

func newTransport(cfg Config, random io.Reader, notify func()) (*transport, error) {
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
	t := &transport{
		cfg: cfg, log: log, random: random, now: time.Now, timed: true,
		core: newCore(&cfg, agent, random), neg: neg,
		mu: transportMutex{notify: notify},
	}
	t.mu.transport = t
	t.gatherer = gatherer{
		owner: t, cfg: &t.cfg, log: log, random: random, agent: agent, multicast: true,
		network: privateNetwork{log, cfg.LocalAddresses, cfg.MinPort, cfg.MaxPort, cfg.BusyPoll},
	}
	t.core.fragmented = !udpmux.Unfragmented
	return t, nil
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
func (t *transport) emit(e Event) {
	t.events.push(e)
	t.mu.notified = true
}

func (t *transport) nextEvent() (Event, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.events.pop()
	if !ok {
		return e, false
	}
	if c, ok := e.Channel.(*stackChannel); ok {
		c.taken(&e)
	}
	return e, true
}

// locked is of owner.
func (t *transport) locked(f func(now time.Time)) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	now := t.now()
	f(now)
	t.run(now)
	return true
}

// run brings the core to completion after input: events are taken, output is
// sent, the timer is set. The lock is held.
func (t *transport) run(now time.Time) {
	if t.core.yielded {
		t.yieldRole(now)
	}
	t.core.setQuota(t.memory.quota())
	t.core.process(now)
	t.takeEvents(now)
	if d := t.core.replacement.answer; d != nil {
		t.emitAnswer(now, d)
	}
	t.flush(now)
	t.core.rest()
	t.takeLowered()
	t.arm(now)
	t.charge()
}

// HandleDatagrams is of udpmux.Handler.
func (t *transport) HandleDatagrams(now time.Time, r ice.Route, b []byte, segment int) {
	// STUN alone is cheap, and not worth a change of goroutines.
	cheap := len(b) > 0 && len(b) <= segment && b[0] < 4
	if !t.enter(t.shared(r.Sock), cheap) {
		t.postDatagrams(now, r, b, segment)
		return
	}
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	t.take(now, r, b, segment)
	t.run(now)
}

// take gives the core what one read brought. The lock is held; run follows.
func (t *transport) take(now time.Time, r ice.Route, b []byte, segment int) {
	t.core.setQuota(t.memory.quota())
	for len(b) > 0 {
		n := min(segment, len(b))
		if t.cfg.Filter == nil || r.Sock == ice.SockMDNS || t.cfg.Filter(false, b[:n:n]) {
			t.traffic.packetsReceived++
			t.traffic.bytesReceived += uint64(n)
			t.core.handleDatagram(now, r, b[:n:n])
		}
		b = b[n:]
	}
}

// Writable is of udpmux.Handler.
func (t *transport) Writable(sock ice.Sock) {
	if !t.enter(t.shared(sock), true) {
		t.post(func(in *input) { in.writable = true })
		return
	}
	defer t.mu.Unlock()
	t.full = false
	if !t.closed {
		t.run(t.now())
	}
}

// SocketClosed is of udpmux.Handler.
func (t *transport) SocketClosed(sock ice.Sock, err error) {
	t.giveClosed(closedRoute{ice.Route{Sock: sock}, err})
}

// RouteClosed is of handler.
func (t *transport) RouteClosed(r ice.Route, err error) { t.giveClosed(closedRoute{r, err}) }

// giveClosed gives the peer the news of a socket or connection that failed.
func (t *transport) giveClosed(c closedRoute) {
	if !t.enter(t.shared(c.route.Sock), true) {
		t.postClosed(c)
		return
	}
	defer t.mu.Unlock()
	if !t.closed {
		now := t.now()
		t.routeClosed(now, c)
		t.run(now)
	}
}

// routeClosed takes what giveClosed gives. The lock is held; run follows.
func (t *transport) routeClosed(now time.Time, c closedRoute) {
	t.full = false
	if c.route.Remote.IsValid() {
		t.log.Debug("connection closed", "local", c.route.Local, "remote", c.route.Remote, "error", c.err)
		t.core.agent.RouteClosed(now, c.route, c.err)
		return
	}
	for _, l := range t.gatherer.locals {
		if l.sock == c.route.Sock {
			t.log.Warn("socket failed", "address", l.addr, "error", c.err)
			t.core.agent.RemoveLocal(now, l.sock, l.addr)
		}
	}
	t.gatherer.connectionLost(now, c.route.Sock, c.err)
}

// arm sets the timer if the next deadline is earlier than what it is set to.
// One that has moved to later is looked at when the timer fires: most move
// with every datagram.
//
// A connected peer of a host is in the host's wheel, unless something is due
// very soon. At rest moving there is cheap.
func (t *transport) arm(now time.Time) {
	due := t.core.nextTimeout()
	if t.closed || !t.timed || due.IsZero() {
		return
	}
	wait := max(0, due.Sub(now))
	wheeled := t.cfg.Host != nil && t.state == StateConnected && wait >= wheelLeast
	if wheeled && t.core.used.IsZero() {
		if !due.Equal(t.armed) || t.timer != nil {
			t.armed, t.slack = due, t.cfg.Host.wheel.add(t, due, wait)
			t.dropTimer()
		}
		return
	}
	// What was set while nothing was urgent may fire too late for what is now.
	hurries := t.slack > 0 && wait < slackFrom && !t.core.used.IsZero()
	if !t.armed.IsZero() && !due.Before(t.armed) && !hurries {
		return
	}
	if wheeled {
		t.armed, t.slack = due, t.cfg.Host.wheel.add(t, due, wait)
		if t.timer != nil {
			t.timer.Stop() // and kept, as long as data flows
		}
		return
	}
	t.armed, t.slack = due, slackOf(time.Duration(due.UnixNano()), wait)
	t.setTimer(wait + t.slack)
}

func (t *transport) setTimer(wait time.Duration) {
	if t.timer == nil {
		t.timer = time.AfterFunc(wait, t.fire)
	} else {
		t.timer.Reset(wait)
	}
}

func (t *transport) dropTimer() {
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
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
func (t *transport) fire() {
	at := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire(at)
}

// fireAt is what the wheel calls, for one peer after the other: at is when it
// began.
func (t *transport) fireAt(at time.Time) {
	if !t.enter(true, true) {
		t.post(func(in *input) { in.expired, in.expiredAt = true, at })
		return
	}
	defer t.mu.Unlock()
	t.expire(at)
}

// expire runs the timers that are due. The lock is held; at is when the timer
// fired.
func (t *transport) expire(at time.Time) {
	due := t.armed
	t.armed = time.Time{}
	if t.closed {
		return
	}
	now := t.now()
	if next := t.core.nextTimeout(); next.IsZero() || next.After(now) {
		t.arm(now)
		return
	}
	late := at.Sub(due) - t.slack
	switch {
	case !t.timed:
	case !t.core.established():
		if t.deferred = late > overloaded && !t.deferred; t.deferred {
			t.armed = due
			t.setTimer(2 * late)
			return
		}
	case t.core.silent(now) && t.excused(now, late):
		t.core.excuse(now)
	}
	t.core.advance(now)
	t.run(now)
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
func (t *transport) excused(now time.Time, late time.Duration) bool {
	if t.core.heard().After(t.excusedAt) {
		t.excuses = 0
	}
	if t.excuses == excusesMost || late <= overloaded && t.suspects.admit(now, &t.suspected) {
		return false
	}
	t.excuses++
	t.excusedAt = now
	return true
}

// takeEvents turns the layers' events into the program's.
func (t *transport) takeEvents(now time.Time) {
	t.emitGathering()
	for {
		e, ok := t.core.agent.NextEvent()
		if !ok {
			break
		}
		t.handleICEEvent(now, e)
	}
	for {
		e, ok := t.core.session.NextEvent()
		if !ok {
			break
		}
		t.handleSessionEvent(now, e)
	}
	if t.core.replacement.state == replacementDue {
		t.beginReplacement(now)
	}
	t.updateState()
	switch {
	case !t.core.ended:
	case t.core.remoteClosed:
		t.shut(now, t.core.err)
	default:
		t.endChannels(closedBy(t.core.err))
		t.finish()
	}
}

// finish lets a shutdown that waits go on.
func (t *transport) finish() {
	t.over = true
	t.ended.set()
}

// endChannels closes all channels, in the order of their making.
func (t *transport) endChannels(cause error) {
	for c := t.channels.first; c != nil; c = t.channels.first {
		t.channels.remove(c)
		c.connectionClosed(cause)
	}
}

func (t *transport) handleICEEvent(now time.Time, e ice.Event) {
	switch e.Kind {
	case ice.EventCandidate:
		name := t.gatherer.gathered(e.Candidate)
		t.emitGathering()
		if name != "" {
			t.emitCandidate(name)
		}
	case ice.EventGatheringComplete:
		t.gatheringComplete()
	case ice.EventRouteAdded:
		if q := t.gatherer.sockets.port(e.Route.Sock); q != nil {
			if err := q.Bind(e.Route.Remote); errors.Is(err, udpmux.ErrTaken) {
				t.log.Debug("address is another connection's until a check sent there is answered", "remote", e.Route.Remote)
			} else if err != nil {
				t.log.Warn("address not bound", "remote", e.Route.Remote, "error", err)
			}
		}
	case ice.EventRouteRemoved:
		if q := t.gatherer.sockets.port(e.Route.Sock); q != nil {
			q.Unbind(e.Route.Remote)
		}
	case ice.EventSelected:
		t.traffic.changes++
		t.full = false // of another socket, or found again at once
		t.log.Debug("pair selected", "local", e.Route.Local, "remote", e.Route.Remote)
		t.claim(e.Route)
		if e.Lost {
			t.core.pathLost(now)
		}
		if e.Moved {
			t.core.newPath(now)
		}
		t.core.doubt(now)
		if t.core.yields && !t.core.begun {
			t.core.beginAt = new(now.Add(glareDelay))
		}
		t.core.takeRTT()
	case ice.EventAlternate:
		t.gatherer.sentOn(now, e)
	case ice.EventConnectionGone:
		t.gatherer.connectionLost(now, e.Sock, e.Err)
	case ice.EventServerError:
		t.log.Warn("server failed", "url", e.URL, "error", e.Err)
	}
}

// A claimer is a port whose addresses belong to one peer or another.
type claimer interface {
	Claim(remote netip.AddrPort) error
}

// claim makes sure of the address that data comes from: of a selected pair, so
// a check sent there was answered. A lite end sends none.
func (t *transport) claim(r ice.Route) {
	if q, ok := t.gatherer.sockets.port(r.Sock).(claimer); ok && !t.cfg.ICELite {
		if err := q.Claim(r.Remote); err != nil {
			t.log.Warn("address not bound", "remote", r.Remote, "error", err)
		}
	}
}

// updateState emits the connection's state when it has changed: the worst of
// the ICE and DTLS transports.
func (t *transport) updateState() {
	s, cause := t.state, error(nil)
	established := t.core.dtls != nil && t.core.dtls.Established()
	switch a := t.core.agent.State(); {
	case t.core.ended && !t.core.remoteClosed:
		s, cause = StateFailed, t.core.err
	case t.core.ended:
		return // shut follows
	case a == ice.StateFailed:
		s, cause = StateFailed, t.core.agent.Err()
	case a == ice.StateDisconnected && (established || t.state == StateDisconnected):
		s = StateDisconnected
	case established && (a == ice.StateConnected || a == ice.StateCompleted):
		s = StateConnected
	case t.state != StateNew || a != ice.StateNew:
		if t.state != StateConnected {
			s = StateConnecting
		}
	}
	t.setState(s, cause)
}

// failure returns the cause of StateFailed, for calls that would wait; nil in
// other states, and while a restart is wanted or under way.
func (t *transport) failure() error {
	if t.state != StateFailed || t.neg.restart || t.neg.next.ufrag != "" {
		return nil
	}
	return t.cause
}

func (t *transport) setState(s ConnectionState, cause error) {
	if s == t.state {
		return
	}
	t.suspects.count(t.state, s)
	t.state = s
	if s == StateConnected || s == StateFailed || s == StateClosed {
		t.queue.direct.Store(true) // also after a failure: a restart is rare enough
	}
	if s == StateConnected {
		t.neg.forget()
		if !t.cfg.MDNSCandidates {
			t.gatherer.releaseMDNS()
		}
	}
	if s == StateFailed {
		t.cause = failedBy(cause)
		t.emit(Event{Kind: EventError, Err: t.cause})
		for c := t.channels.first; c != nil; c = c.next {
			c.wake()
		}
		if t.leaving {
			t.finish()
		}
	}
	t.emit(Event{Kind: EventConnectionState, State: int(s)})
}

// close ends the connection on the program's wish.
func (t *transport) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	now := t.now()
	// The peer is told in what order it can still read: ABORT, close_notify,
	// then relays are given back.
	t.core.assoc.Flush()
	t.flush(now)
	t.core.leave(now)
	t.flush(now)
	t.shut(now, nil)
	t.events.clear() // the program knows
	t.mu.notified = false
}

// shut frees everything; what was received stays readable.
func (t *transport) shut(now time.Time, cause error) {
	if t.closed {
		return
	}
	if t.core.dtls != nil {
		t.flush(now) // SHUTDOWN COMPLETE has to go before the keys do
		t.core.dtls.Close(now)
		t.flush(now)
	}
	t.core.agent.Close(now)
	t.flush(now)
	if cause == nil && t.state == StateFailed {
		cause = t.cause // why it was of no use any more
	}
	t.closed, t.cause = true, closedBy(cause)
	t.uncharge()
	t.finish()
	t.dropTimer()
	if t.cfg.Host != nil {
		t.cfg.Host.wheel.remove(t)
	}
	t.gatherer.close()
	t.endChannels(t.cause)
	t.setState(StateClosed, nil)
}

// startTransport starts ICE and DTLS, or moves ICE to a new generation, when
// both descriptions are known.
func (t *transport) startTransport(now time.Time) error {
	local, remote := t.neg.localApplied(), t.neg.remote()
	told := remote.data()
	if told.Index < 0 && t.core.dtls == nil {
		return nil // an offer of media only: a later one may have a data section
	}
	if local.data().Rejected || told.Rejected {
		t.core.end(errRejected)
		return nil
	}
	if t.core.dtls == nil {
		if err := t.startDTLS(now, local, remote); err != nil {
			return err
		}
	}
	t.maxRemote = told.MaxMessageSize
	t.core.assoc.SetRemotePort(uint16(told.SCTPPort))
	t.core.agent.SetRenomination(slices.Contains(told.ICEOptions, renomination))
	t.core.agent.SetRemote(now, told.Ufrag, told.Pwd, told.ICELite)
	if local.typ != "offer" {
		t.core.agent.AnswerPending(now)
	}
	t.remote.apply(t, now, remote)
	return nil
}

// yieldRole makes the DTLS client the server. After glare a browser is always
// the client: it answers the local offer as active, and the answer comes too late
// to be applied.
func (t *transport) yieldRole(now time.Time) {
	t.core.yielded = false
	t.core.dtls.Close(now)
	if err := t.makeDTLS(now, t.neg.remote(), false); err != nil {
		t.core.end(err)
	}
}

func (t *transport) startDTLS(now time.Time, local, remote *description) error {
	client := isClient(local, remote)
	t.core.yields = client && local.typ != "offer" && t.neg.glare != noGlare
	return t.makeDTLS(now, remote, client)
}

func (t *transport) makeDTLS(now time.Time, remote *description, client bool) error {
	cert, err := t.certificate()
	if err != nil {
		return err
	}
	minVersion, err := dtlsVersion(t.cfg.MinDTLS)
	if err != nil {
		return err
	}
	maxVersion, err := dtlsVersion(t.cfg.MaxDTLS)
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
		localID = t.neg.tlsID
	}
	t.neg.client, t.neg.roleKnown = client, true
	err = t.core.makeDTLS(dtls.Config{
		Client: t.neg.client, Certificate: cert, Fingerprints: fingerprints,
		MinVersion: minVersion, MaxVersion: maxVersion,
		// There is no media, but some peers, pion among them, end a handshake
		// without use_srtp (RFC 5764 §4.1.1).
		SRTPProfiles:      []uint16{srtpAES128GCM, srtpAES128CM},
		ExternalSessionID: localID, PeerExternalSessionID: remoteID,
		// So that the far end says what it accepts; see core.discover.
		RecordSizeLimit:     maxRecord,
		DiscardCertificates: true, // the fingerprint says all
		Rand:                t.random, KeyLogWriter: lockedKeyLog(t.cfg.KeyLogWriter),
	})
	if err == nil && !t.core.yields {
		if t.queue.direct.Load() {
			t.core.beginDTLS(now)
		} else {
			t.post(func(in *input) { in.start = true })
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
func (t *transport) shutdown(ctx context.Context) error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		_, err := t.outcome()
		return err
	}
	now := t.now()
	connected := (t.core.established() || t.core.replacement.state >= replacementDue) && t.state != StateFailed
	t.leaving = true
	t.core.assoc.Shutdown(now)
	t.run(now)
	var lost error // of what was queued
	if t.state == StateFailed && !t.core.assoc.Delivered() {
		lost = t.cause
	}
	t.mu.Unlock()
	if !connected {
		return lost // nil: nothing can have been queued, or all has arrived
	}
	for {
		over, err := t.outcome()
		if over {
			t.ended.set() // for other waiters
			return err
		}
		if err := t.ended.wait(ctx); err != nil {
			return err
		}
	}
}

// outcome tells whether the connection is over, and why, if it failed or was
// closed before all was delivered.
func (t *transport) outcome() (over bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state == StateFailed || t.over && !t.core.assoc.Delivered() {
		err = t.cause
	}
	return t.over, err
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
func (t *transport) flush(now time.Time) {
	buffers, most := &batches, batchSize
	if t.core.assoc.Pending() < smallBatchSize {
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
		next, r, ok := t.core.appendDatagram(now, b, t.full)
		if !ok {
			break
		}
		size := len(next) - start
		if start > 0 && (r != route || size > segment) {
			t.write(route, next[:start], segment)
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
			t.write(route, b, segment)
			b = b[:0]
		}
	}
	if len(b) > 0 {
		t.write(route, b, segment)
	}
	buffers.Put(buffer)
}

func (t *transport) write(r ice.Route, b []byte, segment int) {
	if r.Sock == ice.SockMDNS {
		t.gatherer.writeMDNS(r, b)
		return
	}
	t.traffic.packetsSent += uint64((len(b) + segment - 1) / segment)
	t.traffic.bytesSent += uint64(len(b))
	if q := t.gatherer.sockets.port(r.Sock); q != nil && !q.Write(r, b, segment) {
		t.full = true
	}
}
