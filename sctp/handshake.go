package sctp

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"slices"
	"time"
)

// The handshake (RFC 9260 §5.1). Over DTLS both ends usually begin at once, so
// the collision of §5.2 is the normal case:
//
//	Connect   INIT        →            CLOSED: nothing is kept
//	COOKIE-WAIT        ←  INIT ACK     with the state in a cookie
//	          COOKIE ECHO →            ESTABLISHED
//	COOKIE-ECHOED      ←  COOKIE ACK
//	ESTABLISHED

const (
	cookieMACSize  = sha256.Size
	cookieLifetime = 60 * time.Second // RFC 9260 §16: Valid.Cookie.Life

	minRwnd      = 1500 // RFC 9260 §3.3.2, §3.3.3: of an INIT or INIT ACK
	rwndTooSmall = "a_rwnd under 1500"
)

// Connect sends an INIT. EventFailed with ErrRand follows where the random source
// fails.
func (a *Association) Connect(now time.Time) {
	a.tick(now)
	if a.state != StateClosed || a.ended {
		return
	}
	tag, tsn, ok := a.identity()
	if !ok {
		a.end(Event{Kind: EventFailed, Err: ErrRand})
		return
	}
	a.localTag, a.localTSN = tag, tsn
	a.out.reset(tsn)
	a.state = StateCookieWait
	a.sendInit = true
	a.timers.init = now.Add(a.rto.timeout(rtoMinHandshake))
}

// localParams is what we say in INIT and INIT ACK.
func (a *Association) localParams(tag uint32, tsn chunkTSN) initParams {
	return initParams{
		tag: tag, aRwnd: uint32(a.memory.receiveWindow()), outStreams: maxStreams, inStreams: maxStreams, initialTSN: tsn,
		forwardTSN: true, iData: !a.cfg.DisableInterleaving, reconfig: true, zeroChecksum: !a.cfg.DisableZeroChecksum,
	}
}

// appendInit appends the INIT chunk.
func (a *Association) appendInit(b []byte) []byte {
	p := a.localParams(a.localTag, a.localTSN)
	b, start := p.appendInit(b, chunkInit)
	return endChunk(b, start)
}

// handleInit answers an INIT, in any state, with nothing kept of it.
func (a *Association) handleInit(now time.Time, body []byte) {
	ic, err := parseInit(body)
	if err != nil || ic.tag == 0 || len(a.replies) >= maxReplies {
		a.stats.PacketsDropped++ // RFC 9260 §3.3.2: tag 0 is silently discarded
		return
	}
	switch {
	case ic.outStreams == 0 || ic.inStreams == 0:
		a.reply(ic.tag, appendAbort(nil, 0, CauseInvalidParameter, nil))
		return
	case ic.aRwnd < minRwnd:
		a.reply(ic.tag, appendAbort(nil, 0, CauseProtocolViolation, []byte(rwndTooSmall))) // RFC 9260 §3.3.2
		return
	case ic.hostName:
		a.reply(ic.tag, appendAbort(nil, 0, CauseUnresolvableAddress, nil)) // RFC 9260 §3.3.2.1.4
		return
	}
	c := cookie{created: now.UnixNano(), peer: ic.initParams}
	drawn := true
	switch a.state {
	case StateClosed:
		c.localTag, c.localTSN, drawn = a.identity()
	case StateCookieWait:
		// RFC 9260 §5.2.1: our own tag and TSN again, so that both cookies
		// make the same association. An INIT of ours that has not gone yet is
		// not needed any more, unless the far end's cookie fails to come.
		if a.sendInit && a.initCount == 0 {
			a.sendInit, a.initSpared = false, true
		}
		c.localTag, c.localTSN = a.localTag, a.localTSN
	case StateCookieEchoed:
		c.localTag, c.localTSN = a.localTag, a.localTSN
		c.localTie, c.peerTie = a.localTag, a.peerTag
	case StateShutdownAckSent:
		a.sendShutdownAck = true // RFC 9260 §9.2
		return
	default:
		// RFC 9260 §5.2.2: a new tag, for it may be a restart.
		c.localTag, c.localTSN, drawn = a.identity()
		c.localTie, c.peerTie = a.localTag, a.peerTag
	}
	if !drawn || !a.drawCookieKey() {
		a.stats.PacketsDropped++ // the remote sends its INIT again
		return
	}
	a.reply(ic.tag, a.appendInitAck(make([]byte, 0, usualInitAck), &c, ic.unrecognized))
}

// usualInitAck is how long an INIT ACK is that reports nothing.
const usualInitAck = 120

// appendInitAck appends an INIT ACK with the cookie.
func (a *Association) appendInitAck(b []byte, c *cookie, unrecognized []byte) []byte {
	p := a.localParams(c.localTag, c.localTSN)
	// Nothing that the far end does not say itself: some drop an INIT ACK with a
	// parameter that they do not know, as they do the INIT, whatever RFC 9260
	// §3.2.1 says of it (pion before 2024). Their own INIT makes the association.
	p.zeroChecksum = p.zeroChecksum && c.peer.zeroChecksum
	b, start := p.appendInit(b, chunkInitAck)
	b = appendParam(b, paramStateCookie, a.sealCookie(c))
	for len(unrecognized) > 0 {
		p, rest, ok := nextParam(unrecognized)
		if !ok {
			break
		}
		b = appendParam(b, paramUnrecognized, p.whole)
		unrecognized = rest
	}
	return endChunk(b, start)
}

// drawCookieKey makes the key of this association's cookies, unless there is one.
// It reports whether there is one then.
func (a *Association) drawCookieKey() bool {
	if a.cookieKey != nil {
		return true
	}
	key := new([32]byte)
	if !a.random(key[:]) {
		return false
	}
	a.cookieKey = key
	return true
}

// cookieMAC authenticates a cookie's contents with the key of this association.
func (a *Association) cookieMAC(contents []byte) []byte {
	mac := hmac.New(sha256.New, a.cookieKey[:])
	mac.Write(contents)
	return mac.Sum(nil)
}

func (a *Association) sealCookie(c *cookie) []byte {
	b := c.append(make([]byte, cookieMACSize, cookieSize))
	copy(b, a.cookieMAC(b[cookieMACSize:]))
	return b
}

// openCookie returns the contents of a cookie of ours.
func (a *Association) openCookie(b []byte) (c cookie, ok bool) {
	if len(b) != cookieSize || a.cookieKey == nil {
		return c, false
	}
	if subtle.ConstantTimeCompare(a.cookieMAC(b[cookieMACSize:]), b[:cookieMACSize]) != 1 {
		return c, false
	}
	return parseCookie(b[cookieMACSize:]), true
}

// handleInitAck takes the answer to our INIT (RFC 9260 §5.1 C).
func (a *Association) handleInitAck(now time.Time, body []byte) {
	if a.state != StateCookieWait {
		return // RFC 9260 §5.2.3
	}
	ic, err := parseInit(body)
	switch {
	case err != nil:
		a.stats.PacketsDropped++
		return
	case ic.tag == 0 || ic.outStreams == 0 || ic.inStreams == 0:
		a.abortHandshake(ic.tag, CauseInvalidParameter, nil) // RFC 9260 §3.3.3
		return
	case ic.aRwnd < minRwnd:
		a.reply(ic.tag, appendAbort(nil, 0, CauseProtocolViolation, []byte(rwndTooSmall)))
		return // RFC 9260 §3.3.3: MUST NOT change the state
	case len(ic.cookie) == 0:
		a.abortHandshake(ic.tag, CauseMissingParameter, []byte{0, 0, 0, 1, 0, byte(paramStateCookie)})
		return
	case ic.hostName:
		a.abortHandshake(ic.tag, CauseUnresolvableAddress, nil)
		return
	}
	if a.initCount == 0 && !a.initSpared {
		a.rto.seed(time.Duration(a.clock(now) - a.initSent))
	}
	a.takePeer(ic.initParams)
	a.state = StateCookieEchoed
	a.dropUnusableStreams() // data may go with the COOKIE ECHO
	b, start := beginChunk(nil, chunkCookieEcho, 0)
	a.echo = endChunk(append(b, ic.cookie...), start)
	if len(ic.unrecognized) > 0 {
		// RFC 9260 §5.1 C: reported with the COOKIE ECHO.
		a.pushControl(appendErrorChunk(nil, CauseUnrecognizedParams, ic.unrecognized))
	}
	a.sendInit, a.sendEcho = false, true
	a.initCount, a.rto.backoff = 0, 0
	a.timers.init = now.Add(a.rto.timeout(rtoMinHandshake))
}

// abortHandshake gives up, and tells the far end. Where its tag is not known, ours
// goes back to it (RFC 9260 §3.3.3, §8.5.1 B).
func (a *Association) abortHandshake(tag uint32, code CauseCode, info []byte) {
	if tag != 0 {
		a.reply(tag, appendAbort(nil, 0, code, info))
	} else {
		a.reply(a.localTag, appendAbort(nil, flagReflected, code, info))
	}
	a.end(Event{Kind: EventFailed, Err: ErrHandshake})
}

// takePeer takes over what the far end said of itself.
func (a *Association) takePeer(p initParams) {
	a.peer, a.peerTag, a.peerRwnd = p, p.tag, windowOf(p.aRwnd)
	a.cc = a.cfg.CongestionControl.newController(a.mtu, a.localTag)
	a.in.reset(p.initialTSN)
	interleaving := p.iData && !a.cfg.DisableInterleaving
	a.reassembly.reset(a.memory, interleaving, a.cfg.MaxMessageSize)
	a.queue.interleaving, a.queue.budget = interleaving, int(p.aRwnd/2)
	a.reset.begin(a.localTSN, p.initialTSN)
}

// handleCookieEcho takes a cookie, in any state (RFC 9260 §5.1 D, §5.2.4). ok
// is false when the rest of the packet is to be dropped.
func (a *Association) handleCookieEcho(now time.Time, tag uint32, body []byte) (ok bool) {
	c, ok := a.openCookie(body)
	if !ok || a.ended || tag != c.localTag {
		a.stats.PacketsDropped++
		return false
	}
	sameLocal, samePeer := c.localTag == a.localTag, c.peer.tag == a.peerTag
	if age := now.Sub(time.Unix(0, c.created)); age > cookieLifetime && !(sameLocal && samePeer && a.peerKnown()) {
		a.reply(c.peer.tag, appendErrorChunk(nil, CauseStaleCookie, staleness(age-cookieLifetime)))
		return false
	}
	if a.state == StateClosed {
		a.localTag, a.localTSN = c.localTag, c.localTSN
		a.out.reset(a.localTSN)
		a.takePeer(c.peer)
		a.establish(now)
		a.pushControl([]byte{byte(chunkCookieAck), 0, 0, 4})
		return true
	}
	switch {
	case sameLocal && samePeer && a.peerKnown(): // RFC 9260 §5.2.4 D
	case sameLocal: // B: both began at once
		if a.state <= StateCookieEchoed || a.in.cum == a.peer.initialTSN-1 {
			a.takePeer(c.peer)
		}
		a.peerTag = c.peer.tag
	case !samePeer && c.localTie == a.localTag && c.peerTie == a.peerTag && c.localTie != 0: // A: a restart
		if a.state == StateShutdownAckSent {
			a.sendShutdownAck = true
			a.pushControl(appendErrorChunk(nil, CauseCookieInShutdown, nil))
			return false
		}
		a.restart(now, &c)
	default: // C and others: an old one
		return false
	}
	if a.state <= StateCookieEchoed {
		a.establish(now)
	}
	a.pushControl([]byte{byte(chunkCookieAck), 0, 0, 4})
	return true
}

// staleness is the information of a stale-cookie cause, in microseconds.
func staleness(d time.Duration) []byte {
	us := uint32(min(d.Microseconds(), 1<<32-1))
	return []byte{byte(us >> 24), byte(us >> 16), byte(us >> 8), byte(us)}
}

// restart begins anew with a far end that lost its state. What was queued or
// half received belonged to the association before.
func (a *Association) restart(now time.Time, c *cookie) {
	a.localTag, a.localTSN = c.localTag, c.localTSN
	a.dropQueue()
	a.out.reset(a.localTSN)
	a.control = nil
	a.skip = skipState{}
	a.heartbeat = heartbeatState{}
	a.restartDiscovery(a.pmtud.most)
	a.timers = timers{}
	a.ack = ackNone
	a.sendShutdown, a.sendShutdownAck = false, false // of the association before, too
	a.takePeer(c.peer)
	a.errorCount, a.recovery, a.rate, a.pacer = 0, recoveryState{}, rateSampler{}, pacer{}
	a.state = StateEstablished
	a.timers.heartbeat = now.Add(restAfter)
	a.event(Event{Kind: EventRestarted})
}

// handleCookieAck ends the handshake (RFC 9260 §5.1 E).
func (a *Association) handleCookieAck(now time.Time) {
	if a.state == StateCookieEchoed { // otherwise discarded: RFC 9260 §5.2.5
		a.establish(now)
	}
}

// handleStaleCookie begins again (RFC 9260 §5.2.6).
func (a *Association) handleStaleCookie(now time.Time) {
	if a.state != StateCookieEchoed {
		return
	}
	if a.initCount++; a.initCount > maxInitRetransmissions {
		a.end(Event{Kind: EventFailed, Err: ErrHandshake})
		return
	}
	a.state = StateCookieWait
	a.peer, a.peerTag = initParams{}, 0
	a.sendInit, a.sendEcho, a.echo = true, false, nil
	a.out.markAllLost()
	a.timers.init = now.Add(a.rto.timeout(rtoMinHandshake))
}

// establish enters ESTABLISHED.
func (a *Association) establish(now time.Time) {
	a.state = StateEstablished
	a.sendInit, a.sendEcho, a.echo = false, false, nil
	a.initCount, a.rto.backoff = 0, 0
	a.timers.init = time.Time{}
	a.timers.heartbeat = now.Add(restAfter)
	if a.out.listed() > 0 {
		a.timers.t3 = now.Add(a.rto.timeout(rtoMin))
	}
	a.dropUnusableStreams()
	a.event(Event{Kind: EventEstablished})
}

// dropUnusableStreams forgets what was queued, before the far end's limits
// were known, on streams that it has not.
func (a *Association) dropUnusableStreams() {
	limit := a.OutgoingStreams()
	for _, id := range a.queue.streams.ids() {
		if int(id) < limit {
			continue
		}
		s := a.queue.streams.get(id)
		s.paused = false
		for s.head != nil {
			a.queue.pop(s)
		}
		a.forgetStream(id)
	}
	a.queue.drained = slices.DeleteFunc(a.queue.drained, func(id uint16) bool { return int(id) >= limit })
}

// handshakeTimeout sends INIT or COOKIE ECHO again.
func (a *Association) handshakeTimeout(now time.Time) {
	if a.state == StateCookieWait && a.initSpared {
		// Nothing of ours was lost: this is the first INIT.
		a.initSpared, a.sendInit = false, true
		a.timers.init = now.Add(a.rto.timeout(rtoMinHandshake))
		return
	}
	if a.initCount++; a.initCount > maxInitRetransmissions {
		a.end(Event{Kind: EventFailed, Err: ErrTimeout})
		return
	}
	a.rto.expired()
	if a.state == StateCookieWait {
		a.sendInit = true
	} else {
		a.sendEcho = true
		a.out.markAllLost() // what went with the last one goes with the next
	}
	a.timers.init = now.Add(a.rto.timeout(rtoMinHandshake))
}
