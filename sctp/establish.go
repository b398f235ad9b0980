package sctp

import "time"

// This file handles the chunks that establish an association (RFC 9260 §5.1). Over
// DTLS both ends usually send an INIT, so the collision of §5.2 is the normal case:
//
//	Connect   INIT        →            CLOSED: no state is kept
//	COOKIE-WAIT        ←  INIT ACK     the state is in the cookie
//	          COOKIE ECHO →            ESTABLISHED
//	COOKIE-ECHOED      ←  COOKIE ACK
//	ESTABLISHED

// usualInitAck is the length in bytes of an INIT ACK that reports no unknown
// parameters.
const usualInitAck = 120

// handleInit answers an INIT in any state. This end keeps no state for the INIT: the
// cookie carries it.
func (a *Association) handleInit(now instant, body []byte) {
	ic, err := parseInit(body)
	if err != nil || ic.tag == 0 || len(a.outbox.replies) >= maxReplies {
		a.dropped++ // RFC 9260 §3.3.2: tag 0 is silently discarded
		return
	}
	if code, info := ic.defect(); code != 0 {
		a.outbox.reply(ic.tag, appendAbort(nil, 0, code, info))
		return
	}
	h := &a.handshake
	c := cookie{created: now, peer: ic.initParams, localTag: h.localTag, localTSN: h.localTSN}
	drawn := true
	switch a.state {
	case StateClosed:
		c.localTag, c.localTSN, drawn = drawIdentity(a.cfg.Rand)
	case StateCookieWait:
		// RFC 9260 §5.2.1: the same tag and TSN as in our INIT, so that both cookies
		// lead to the same association. If our INIT was not sent yet, it is needed
		// only if the remote's COOKIE ECHO does not arrive.
		h.spareInit()
	case StateCookieEchoed:
		c.localTie, c.peerTie = h.localTag, h.peerTag
	case StateShutdownAckSent:
		a.shutdown.repeat() // RFC 9260 §9.2: an INIT in this state is answered with another SHUTDOWN ACK
		return
	default:
		// RFC 9260 §5.2.2: a new tag, because the remote may have restarted.
		c.localTag, c.localTSN, drawn = drawIdentity(a.cfg.Rand)
		c.localTie, c.peerTie = h.localTag, h.peerTag
	}
	if !drawn || !h.drawKey(a.cfg.Rand) {
		a.dropped++ // without random numbers there is no answer; the remote retransmits its INIT
		return
	}
	p := a.cfg.announce(c.localTag, c.localTSN, a.memory.receiveWindow())
	// Announce zero checksums only if the remote does. Some implementations drop an
	// INIT ACK with an unknown parameter, against RFC 9260 §3.2.1 (pion before 2024).
	// They drop our INIT too, but then their INIT establishes the association.
	p.zeroChecksum = p.zeroChecksum && ic.zeroChecksum
	a.outbox.reply(ic.tag, p.appendInitAck(make([]byte, 0, usualInitAck), h.sealCookie(&c), ic.unrecognized))
}

// handleInitAck takes the answer to our INIT (RFC 9260 §5.1 C).
func (a *Association) handleInitAck(now instant, body []byte) {
	if a.state != StateCookieWait {
		return // RFC 9260 §5.2.3: an unexpected INIT ACK is discarded
	}
	ic, err := parseInit(body)
	if err != nil {
		a.dropped++
		return
	}
	h, flags := &a.handshake, uint8(0)
	code, info := ic.defect()
	switch {
	case ic.tag == 0:
		// RFC 9260 §3.3.3, §8.5.1 B: the ABORT uses the verification tag of the
		// received packet, and sets the T bit.
		ic.tag, flags = h.localTag, flagReflected
		code, info = CauseInvalidParameter, nil
	case code == CauseProtocolViolation:
		// RFC 9260 §3.3.3: a window that is too small MUST NOT change the state.
		a.outbox.reply(ic.tag, appendAbort(nil, 0, code, info))
		return
	case len(ic.cookie) == 0 && code != CauseInvalidParameter:
		code, info = CauseMissingParameter, []byte{0, 0, 0, 1, 0, byte(paramStateCookie)}
	}
	if code != 0 {
		a.outbox.reply(ic.tag, appendAbort(nil, flags, code, info))
		a.end(Event{Kind: EventFailed, Err: ErrHandshake})
		return
	}
	if h.retries == 0 && h.step != stepInitSpared {
		a.sender.rto.seed(time.Duration(now - h.sentAt))
	}
	a.takePeer(ic.initParams)
	a.trace.enter(&a.state, StateCookieEchoed)
	a.sender.queue.dropStreams(a.OutgoingStreams()) // before data is sent, which may go with the COOKIE ECHO
	if len(ic.unrecognized) > 0 {
		// RFC 9260 §5.1 C: unknown parameters are reported together with the COOKIE
		// ECHO.
		a.outbox.push(appendErrorChunk(nil, CauseUnrecognizedParams, ic.unrecognized))
	}
	a.sender.rto.progress()
	h.sendEcho(now, ic.cookie, a.sender.rto.timeout(rtoMinHandshake))
}

// takePeer adopts the parameters that the remote announced in its INIT or INIT ACK.
func (a *Association) takePeer(p initParams) {
	p.zeroChecksum = p.zeroChecksum && !a.cfg.DisableZeroChecksum
	a.handshake.peer, a.handshake.peerTag = p, p.tag
	interleaving := p.iData && !a.cfg.DisableInterleaving
	a.sender.begin(a.cfg.CongestionControl, a.handshake.localTag, p.aRwnd, interleaving)
	a.receiver.begin(p.initialTSN, interleaving, a.cfg.MaxMessageSize)
	a.reset.begin(a.handshake.localTSN, p.initialTSN)
}

// handleCookieEcho processes a cookie in any state (RFC 9260 §5.1 D, §5.2.4). It
// reports whether the rest of the packet is to be processed.
func (a *Association) handleCookieEcho(now instant, tag uint32, body []byte) bool {
	h := &a.handshake
	c, ok := h.openCookie(body)
	if !ok || a.ended || tag != c.localTag {
		a.dropped++
		return false
	}
	match := h.match(&c, a.state)
	if age := time.Duration(now - c.created); age > cookieLifetime && match != cookieRepeat {
		a.outbox.reply(c.peer.tag, appendErrorChunk(nil, CauseStaleCookie, staleness(age)))
		return false
	}
	if a.state == StateClosed {
		h.begin(c.localTag, c.localTSN)
		a.sender.out.reset(c.localTSN)
		a.takePeer(c.peer)
		match = cookieRepeat
	}
	switch match {
	case cookieRepeat:
	case cookieCross:
		if a.state <= StateCookieEchoed || a.receiver.in.cum == h.peer.initialTSN-1 {
			a.takePeer(c.peer)
		}
		h.peerTag = c.peer.tag
	case cookieRestart:
		if a.state == StateShutdownAckSent {
			a.shutdown.repeat()
			a.outbox.push(appendErrorChunk(nil, CauseCookieInShutdown, nil))
			return false
		}
		a.restart(now, &c)
	default:
		return false
	}
	if a.state <= StateCookieEchoed {
		a.establish(now)
	}
	a.outbox.push([]byte{byte(chunkCookieAck), 0, 0, 4})
	return true
}

// restart begins a new association with a remote that has lost its state. It drops
// queued messages and incomplete received messages, which belonged to the old
// association.
func (a *Association) restart(now instant, c *cookie) {
	a.handshake.begin(c.localTag, c.localTSN)
	a.handshake.stop()
	a.sender.restart(c.localTSN)
	a.outbox.dropControl()
	a.heartbeat = heartbeat{}
	a.heartbeat.start(now)
	a.pmtud.restart(now, a.pmtud.most)
	a.shutdown = shutdown{}
	a.receiver.stopTimers()
	a.takePeer(c.peer)
	a.errorCount = 0
	a.trace.enter(&a.state, StateEstablished)
	a.events.add(Event{Kind: EventRestarted}, a.receiver.received())
}

// handleStaleCookie restarts the handshake after an ERROR with the stale-cookie cause
// (RFC 9260 §5.2.6).
func (a *Association) handleStaleCookie(now instant) {
	if a.state != StateCookieEchoed {
		return
	}
	h := &a.handshake
	if !h.forgetPeer() {
		a.end(Event{Kind: EventFailed, Err: ErrHandshake})
		return
	}
	a.trace.enter(&a.state, StateCookieWait)
	a.sender.out.markAllLost()
	h.send(now, stepInit, a.sender.rto.timeout(rtoMinHandshake))
}

// establish enters ESTABLISHED.
func (a *Association) establish(now instant) {
	a.trace.enter(&a.state, StateEstablished)
	a.handshake.stop()
	a.heartbeat.start(now)
	a.sender.establish(now)
	a.sender.queue.dropStreams(a.OutgoingStreams())
	if a.renewal == renewalLast {
		a.trace.enter(&a.state, StateShutdownPending)
	}
	if a.renewal >= renewalBegun {
		a.renewal = renewalNone
	}
	a.events.add(Event{Kind: EventEstablished}, a.receiver.received())
}

// handshakeTimeout sends the INIT or COOKIE ECHO again.
func (a *Association) handshakeTimeout(now instant) {
	h := &a.handshake
	if h.step == stepInitSpared {
		h.send(now, stepInit, a.sender.rto.timeout(rtoMinHandshake)) // this INIT is the first one, so none was lost
		return
	}
	a.trace.timeout(now, TimerHandshake, 0)
	a.sender.rto.expired()
	if !h.timeout(now, a.state, a.sender.rto.timeout(rtoMinHandshake)) {
		a.end(Event{Kind: EventFailed, Err: ErrTimeout})
		return
	}
	if a.state == StateCookieEchoed {
		a.sender.out.markAllLost() // data that was sent with the last COOKIE ECHO is sent again with the next one
	}
}
