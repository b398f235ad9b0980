package rtcpeer

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"slices"
	"time"

	"purertc/ice"
	"purertc/rtcpeer/internal/udpmux"
)

// A transport is the local engine of one connection: the core, and what the core
// lacks: a lock, a timer and sockets. Each input, of a socket's reader, the timer or the
// program, takes the lock, runs the core to completion and sends its output.
type transport struct {
	cfg    Config
	log    *slog.Logger
	random io.Reader
	now    func() time.Time
	timed  bool       // by timers; a simulation calls fire itself
	place  wheelPlace // in the Host's wheel

	queue inputQueue // has a lock of its own

	// The following are guarded by mu.
	mu   transportMutex
	core core

	closed  bool
	over    bool            // nothing more can be sent or received
	leaving bool            // shutdown waits for over
	full    bool            // a socket is full: data waits for Writable
	ended   signal          // set with over
	cause   error           // of closed, or of StateFailed
	state   ConnectionState // the true one; Conn shows it after Poll
	ice     ice.State       // the one that was emitted last
	ending  func()          // see EndingExtension

	neg              negotiation
	maxRemoteMessage int // the remote's max-message-size in bytes; 0: no limit
	remoteCandidates remoteCandidates
	gatherer         gatherer
	gathering        GatheringState // the state of gatherer that was emitted last

	events   eventQueue
	channels channelList
	traffic  traffic
	lastPair *CandidatePair // the last selected pair that was asked for or has ended; nil: none

	timer deadlineTimer
	loss  lossSuppression

	memory memoryCharge
}

func newTransport(cfg Config, random io.Reader, notify func()) (*transport, error) {
	if random == nil {
		random = rand.Reader
	}
	neg, err := newNegotiation(random, credentials{cfg.ICEUfrag, cfg.ICEPwd})
	if err != nil {
		return nil, err
	}
	neg.anyCertificate = cfg.VerifyRemote != nil
	log := cfg.Logger
	if log == nil {
		log = noLog
	}
	observer := newObserver(&cfg, neg.local.ufrag)
	agent := ice.NewAgent(ice.Config{
		RelayOnly: cfg.ICETransportPolicy == ICETransportPolicyRelay, Lite: cfg.ICELite,
		Ufrag: neg.local.ufrag, Pwd: neg.local.pwd, Rand: random,
		Consent: cfg.consentTimes(), RemoteFilter: cfg.RemoteAddressFilter, Trace: observer.events.iceHook(),
	})
	t := &transport{
		cfg: cfg, log: log, random: random, now: time.Now, timed: true,
		core: newCore(&cfg, agent, observer, random), neg: neg,
		mu: transportMutex{notify: notify}, ending: func() {},
	}
	t.mu.transport = t
	t.remoteCandidates.agent, t.remoteCandidates.log = agent, log
	t.gatherer = gatherer{
		owner: t, cfg: &t.cfg, log: log, random: random, agent: agent, multicast: !cfg.custom(),
		now: func() time.Time { return t.now() },
		network: privateNetwork{
			logger: log, cfg: &t.cfg, only: cfg.LocalAddresses, first: cfg.MinPort, last: cfg.MaxPort, noUDP: cfg.DisableUDP,
		},
	}
	t.core.fragmented = !udpmux.Unfragmented
	return t, nil
}

// noLog is the log of a transport without Config.Logger.
var noLog = slog.New(slog.DiscardHandler)

// traffic counts the datagrams of a transport's sockets, and their bytes of UDP
// payload.
type traffic struct {
	packetsSent, packetsReceived uint64
	bytesSent, bytesReceived     uint64
	changes                      uint64 // of the selected pair
}

// emit queues an event for the program. Unlock then calls notify.
func (t *transport) emit(e Event) {
	if t.core.observer.events != nil {
		t.core.observer.events.emitted(t.now(), &e)
	}
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

// locked implements owner. It calls f with the mutex held, for the gatherer's
// goroutines and timers, and reports whether the transport was still open.
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

// run brings the core to completion after input: it turns the layers' events into the
// program's, sends the output and sets the timer. The lock is held.
func (t *transport) run(now time.Time) {
	if t.core.handshake == handshakeYielded {
		t.yieldRole(now)
	}
	t.core.setQuota(t.memory.host.quota())
	t.core.process(now)
	t.takeEvents(now)
	if d := t.core.replacement.answer; d != nil {
		t.emitAnswer(now, d)
	}
	t.flush(now)
	t.core.timeline.observe(now, &t.core)
	t.core.release()
	t.takeLowered()
	t.arm(now)
	if !t.closed {
		t.memory.set(t.core.kept())
	}
}

// HandleDatagrams implements udpmux.Handler.
func (t *transport) HandleDatagrams(now time.Time, r ice.Route, b []byte, segment int) {
	// STUN is cheap: handling it costs less than passing it to a handshake worker. A check
	// that carries a DTLS flight is not.
	cheap := len(b) > 0 && len(b) <= segment && b[0] < 4 && (t.queue.direct.Load() || !ice.CarriesDTLS(b))
	if !t.enter(t.shared(r.Sock), cheap) {
		t.postDatagrams(now, r, b, segment)
		return
	}
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	t.handleAll(now, r, b, segment)
	t.run(now)
}

// handleAll gives the core the datagrams of one read. The lock is held; run follows.
func (t *transport) handleAll(now time.Time, r ice.Route, b []byte, segment int) {
	t.core.setQuota(t.memory.host.quota())
	for len(b) > 0 {
		n := min(segment, len(b))
		if t.cfg.Filter == nil || r.Sock == ice.SockMDNS || t.cfg.Filter(false, b[:n:n]) {
			t.traffic.packetsReceived++
			t.traffic.bytesReceived += uint64(n)
			if c := t.core.observer.capture; c != nil {
				c.received(now, &t.gatherer, r, b[:n])
			}
			t.core.handleDatagram(now, r, b[:n:n])
		}
		b = b[n:]
	}
}

// Writable implements udpmux.Handler.
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

// SocketClosed implements udpmux.Handler.
func (t *transport) SocketClosed(sock ice.Sock, err error) {
	t.socketFailed(closedRoute{ice.Route{Sock: sock}, err})
}

// RouteClosed implements handler.
func (t *transport) RouteClosed(r ice.Route, err error) { t.socketFailed(closedRoute{r, err}) }

// socketFailed handles the failure of a socket or connection, or queues it.
func (t *transport) socketFailed(c closedRoute) {
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

// routeClosed handles the failure of a socket or connection. The lock is held; run
// follows.
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
			t.notePair()
			t.core.agent.RemoveLocal(now, l.sock, l.addr)
		}
	}
	t.gatherer.connectionLost(now, c.route.Sock, c.err)
}

// arm sets the timer for the next deadline.
func (t *transport) arm(now time.Time) {
	due := t.core.nextTimeout()
	if t.closed || !t.timed || due.IsZero() {
		return
	}
	wait, idle := max(0, due.Sub(now)), t.core.recordAt.IsZero()
	wheeled := t.cfg.Host != nil && t.state == StateConnected && wait >= wheelLeast
	if t.timer.keeps(due, wait, wheeled, idle) {
		return
	}
	t.timer.at = due
	if wheeled {
		t.timer.slack = t.cfg.Host.wheel.add(t, due, wait)
		t.timer.stop(idle)
		return
	}
	t.timer.slack = slackOf(time.Duration(due.UnixNano()), wait)
	t.setTimer(wait + t.timer.slack)
}

// setTimer sets the transport's own timer.
func (t *transport) setTimer(wait time.Duration) {
	if t.timer.own == nil {
		t.timer.own = time.AfterFunc(wait, t.fire)
	} else {
		t.timer.own.Reset(wait)
	}
}

// fire is called by the transport's own timer.
func (t *transport) fire() {
	at := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire(at)
}

// fireAt is called by the wheel, for one transport after the other. at is when the
// wheel fired.
func (t *transport) fireAt(at time.Time) {
	if !t.enter(true, true) {
		t.post(func(in *input) { in.expired, in.expiredAt = true, at })
		return
	}
	defer t.mu.Unlock()
	t.expire(at)
}

// expire runs the layers' timers that are due. at is when the transport's timer fired.
// The lock is held.
func (t *transport) expire(at time.Time) {
	due := t.timer.at
	t.timer.at = time.Time{}
	if t.closed {
		return
	}
	now := t.now()
	if next := t.core.nextTimeout(); next.IsZero() || next.After(now) {
		t.arm(now)
		return
	}
	late := at.Sub(due) - t.timer.slack
	switch {
	case !t.timed:
	case !t.core.established():
		if t.loss.postpones(late) {
			t.timer.at = due
			t.setTimer(2 * late)
			return
		}
	case t.core.lossTimerDue(now) && t.loss.suppresses(now, late, t.core.lastReceived()):
		t.core.suppressLossDetection(now)
	}
	t.core.advance(now)
	t.run(now)
}

// takeEvents turns the layers' events into the program's. It also carries out what the
// core asks for: a new DTLS connection, or the end.
func (t *transport) takeEvents(now time.Time) {
	t.emitGathering()
	for {
		e, ok := t.core.agent.NextEvent()
		if !ok {
			break
		}
		t.core.observer.events.iceEvent(now, &e)
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
	if s := t.core.agent.State(); s != t.ice {
		t.ice = s
		t.emit(Event{Kind: EventICEState, State: int(s)})
	}
	t.updateState()
	switch {
	case !t.core.ended():
	case t.core.remoteClosed():
		t.shut(now, t.core.err)
	default:
		t.endChannels(closedBy(t.core.err))
		t.finish()
	}
}

// finish ends the wait of shutdown.
func (t *transport) finish() {
	t.over = true
	t.ended.set()
}

// endChannels closes all channels, the oldest first.
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
				t.log.Debug("address belongs to another connection until a check sent there is answered", "remote", e.Route.Remote)
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
		t.lastPair = nil // the agent knows the pair
		t.emit(Event{Kind: EventSelectedPair})
		t.full = false // full referred to the previous socket; if this one is full, the next write shows it
		t.log.Debug("pair selected", "local", e.Route.Local, "remote", e.Route.Remote)
		if !t.cfg.ICELite { // a lite agent sends no checks, so none was answered
			if err := t.gatherer.sockets.claim(e.Route); err != nil {
				t.log.Warn("address not bound", "remote", e.Route.Remote, "error", err)
			}
		}
		if e.Lost {
			t.core.pathLost(now)
		}
		if e.Moved {
			t.core.newPath(now)
		}
		t.core.checkAssociation(now)
		if t.core.handshake == handshakeWaits {
			t.core.beginAt = new(now.Add(glareDelay))
		}
		t.core.takeRTT()
	case ice.EventAlternate:
		t.gatherer.redirected(now, e)
	case ice.EventConnectionGone:
		t.gatherer.connectionLost(now, e.Sock, e.Err)
	case ice.EventServerError:
		t.log.Warn("server failed", "url", e.URL, "error", e.Err)
	}
}

// updateState emits the connection's state if it has changed: the worse one of ICE's
// and DTLS's states.
func (t *transport) updateState() {
	s, cause := t.state, error(nil)
	established := t.core.established()
	switch a := t.core.agent.State(); {
	case t.core.ended() && !t.core.remoteClosed():
		s, cause = StateFailed, t.core.err
	case t.core.ended():
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

// failure returns the cause of StateFailed, for calls that would wait. It is nil in
// other states, and if the program has asked for an ICE restart.
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
	t.loss.overload.stateChanged(t.state, s)
	if s == StateDisconnected {
		t.notePair() // consent may expire
	}
	t.state = s
	if s == StateConnected || s == StateFailed || s == StateClosed {
		t.queue.direct.Store(true) // failed connections, too: ICE restarts are rare
	}
	if in := t.cfg.incoming; in != nil && in.changed != nil {
		in.changed(s)
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

// close closes the connection for the program.
func (t *transport) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	now := t.now()
	// The order is one in which the remote can still read everything: queued data,
	// ABORT and close_notify, and last the release of relay allocations.
	t.core.assoc.Flush()
	t.flush(now)
	t.core.leave(now)
	t.flush(now)
	t.shut(now, nil)
	t.events.clear() // the program knows that it is closed
	t.mu.notified = false
}

// shut frees all resources. Received packets can still be read.
func (t *transport) shut(now time.Time, cause error) {
	if t.closed {
		return
	}
	if t.core.dtls != nil {
		t.flush(now) // SHUTDOWN COMPLETE must be sent before the keys are dropped
		t.core.dtls.Close(now)
		t.flush(now)
	}
	t.notePair()
	t.core.agent.Close(now)
	t.flush(now)
	if cause == nil && t.state == StateFailed {
		cause = t.cause // the failure explains the end better than Close does
	}
	t.closed, t.cause = true, closedBy(cause)
	t.memory.release()
	t.finish()
	t.timer.stop(true)
	if t.cfg.Host != nil {
		t.cfg.Host.wheel.remove(t)
	}
	t.gatherer.close()
	t.endChannels(t.cause)
	if cause != nil {
		t.emit(Event{Kind: EventError, Err: t.cause})
	}
	t.setState(StateClosed, nil)
	t.emit(Event{Kind: EventICEState, State: int(ice.StateClosed)})
	t.ending()
}

// startTransport starts ICE and DTLS if both descriptions are known, or moves ICE to a
// new generation.
func (t *transport) startTransport(now time.Time) error {
	local, remote := t.neg.localApplied(), t.neg.remote()
	told := remote.data()
	if told.Index < 0 && t.core.dtls == nil {
		return nil // an offer of media only: a later one may have a data section
	}
	if local.data().Rejected || told.Rejected {
		t.core.end(ErrRejected)
		return nil
	}
	if t.core.dtls == nil {
		if err := t.core.takeRemoteInit(local.data().SCTPInit, told.SCTPInit); err != nil {
			return err
		}
		if err := t.startDTLS(now, local, remote); err != nil {
			return err
		}
	}
	t.maxRemoteMessage = told.MaxMessageSize
	t.core.assoc.SetRemotePort(uint16(told.SCTPPort))
	t.core.agent.SetRenomination(slices.Contains(told.ICEOptions, renomination))
	if !t.cfg.DisableSPED && announcesSPED(told.ICEOptions) {
		t.core.agent.EnableSPED(true)
	}
	t.core.agent.SetRemote(now, told.Ufrag, told.Pwd, told.ICELite)
	if local.typ != "offer" {
		t.core.agent.AnswerPending(now)
	}
	t.remoteCandidates.apply(now, remote)
	t.core.fragmented = t.core.fragmented || t.cfg.foreign
	t.core.discover() // the remote may turn out to be behind a relay
	t.core.timeline.reached(&t.core.timeline.Answer, now)
	return nil
}

// shutdown sends queued data and ends the association with SHUTDOWN (RFC 9260 §9.2).
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
	var lost error // the cause, if queued data will not arrive
	if t.state == StateFailed && !t.core.assoc.Delivered() {
		lost = t.cause
	}
	t.mu.Unlock()
	if !connected {
		return lost // nil: all data has arrived, or there was none
	}
	for {
		over, err := t.outcome()
		if over {
			t.ended.set() // other goroutines may be in shutdown, too
			return err
		}
		if err := t.ended.wait(ctx); err != nil {
			return err
		}
	}
}

// outcome reports whether the connection is over. err is the cause if it failed, or if
// it ended before all data was delivered.
func (t *transport) outcome() (over bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state == StateFailed || t.over && !t.core.assoc.Delivered() {
		err = t.cause
	}
	return t.over, err
}
