package sctp

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"testing"
	"time"
)

// These tests test the parts without an association.

const ms = int64(time.Millisecond)

// newWriter returns an empty packet of 1200 bytes.
func newWriter() *packetWriter {
	return &packetWriter{b: make([]byte, commonHeaderSize), limit: 1200, chunk: 1200 - commonHeaderSize}
}

// chunks returns the types of the chunks in a packet.
func (w *packetWriter) chunks() (types []chunkType) {
	for rest := w.b[commonHeaderSize:]; len(rest) > 0; {
		c, r, ok := nextChunk(rest)
		if !ok {
			return append(types, 255)
		}
		types, rest = append(types, c.typ), r
	}
	return types
}

func TestClock(t *testing.T) {
	var c clock
	now := time.Unix(1e9, 0)
	if at := c.at(now); at != 1 || c.at(now.Add(time.Second)) != 1+1000*ms {
		t.Errorf("the first instant is %d", at)
	}
	if c.time(0) != (time.Time{}) || !c.time(1+ms).Equal(now.Add(time.Millisecond)) {
		t.Error("instants are not converted back")
	}
	if earliest(0, 5, 3, 0) != 3 || earliest(0, 0) != 0 {
		t.Error("earliest")
	}
	timer := instant(7)
	if due(6, &timer) || !due(7, &timer) || timer != 0 || due(8, &timer) {
		t.Error("a timer expires once, when its time has come")
	}
}

// A HEARTBEAT measures the round trip once in a timeout, and supervises an idle path.
func TestHeartbeatPart(t *testing.T) {
	var h heartbeat
	now := instant(1)
	send := func() bool {
		w := newWriter()
		if !h.wanted(w) {
			return false
		}
		h.appendChunk(now, w, [8]byte{7: byte(now / ms)})
		return true
	}
	h.ask(now, 100*time.Millisecond)
	if !send() || send() {
		t.Fatal("one HEARTBEAT is sent")
	}
	now += 50 * ms
	if h.ask(now, 100*time.Millisecond); send() {
		t.Error("sent again before its timeout")
	}
	if _, ok := h.answered(now, 12345); ok {
		t.Error("a wrong nonce is taken for the answer")
	}
	if rtt, ok := h.answered(now, 0); !ok || rtt != 50*time.Millisecond || h.rtt != rtt {
		t.Errorf("round trip %v %v", rtt, ok)
	}
	if _, ok := h.answered(now, 0); ok {
		t.Error("answered twice")
	}
	if h.ask(now, 100*time.Millisecond); send() {
		t.Error("sent again within the timeout of an answered one")
	}
	h.received = now
	if idle, _ := h.timeout(now + ms); idle || h.timer != now+int64(restAfter) {
		t.Error("idle too early")
	}
	if idle, _ := h.timeout(now + int64(restAfter)); !idle || send() {
		t.Error("at rest no HEARTBEAT is sent before the interval")
	}
	now += int64(heartbeatInterval)
	if _, unanswered := h.timeout(now); unanswered || !send() {
		t.Error("no HEARTBEAT after the interval")
	}
	now += int64(heartbeatInterval)
	if _, unanswered := h.timeout(now); !unanswered {
		t.Error("an unanswered HEARTBEAT is not noticed")
	}
}

// The search tries the sizes that paths have, in ascending order, and begins again
// after a black hole.
func TestPMTUDPart(t *testing.T) {
	var p pmtud
	now := instant(1)
	p.packetLimit(now, 1200)
	p.restart(now, 300)
	if p.send {
		t.Error("probed before anything was delivered")
	}
	p.progress(now, 0, 10*time.Millisecond)
	now += 100 * ms
	p.progress(now, probeAfter, 10*time.Millisecond)
	for _, want := range []int{1452, 1472} {
		if !p.send {
			t.Fatalf("no probe of %d", want)
		}
		nonce := [8]byte{7: byte(want)}
		b := p.appendProbe(now, make([]byte, commonHeaderSize), 0, 1200, nonce, time.Second)
		if len(b) != want {
			t.Errorf("probe of %d bytes, want %d", len(b), want)
		}
		if p.answered(now, 1); !p.out {
			t.Error("a wrong nonce answers a probe")
		}
		if !p.answered(now, uint64(byte(want))) || p.packetLimit(now, 1200) != want {
			t.Errorf("packets of %d bytes after a probe of %d", p.packetLimit(now, 1200), want)
		}
	}
	if p.send {
		t.Error("a size beyond the bound is probed")
	}
	p.checkBlackHole(now)
	if p.packetLimit(now, 1200) != 1472 {
		t.Error("one timeout is no black hole")
	}
	if p.checkBlackHole(now); p.packetLimit(now, 1200) != 1200 {
		t.Error("a black hole is not noticed")
	}
	p.shorten(now, 200)
	if n := p.packetLimit(now, 1200); n != 1000 || !p.send {
		t.Errorf("packets of %d bytes, want 1000 and a probe", n)
	}
	for range probeTries {
		p.appendProbe(now, make([]byte, commonHeaderSize), 0, 1200, [8]byte{}, time.Second)
		now = p.timer
		due(now, &p.timer)
		p.timeout(now)
	}
	if p.send || p.timer != now+int64(raiseInterval) {
		t.Error("probes that are not answered have no end")
	}
}

// The part handles requests of both directions, with their numbers.
func TestStreamResetPart(t *testing.T) {
	var r streamReset
	r.begin(1000, 2000)
	r.start([]uint16{3, 4}, 1010)
	w := newWriter()
	r.appendRequest(1, w, time.Second)
	r.appendRequest(1, w, time.Second)
	if types := w.chunks(); len(types) != 1 || types[0] != chunkReconfig || r.idle() {
		t.Fatalf("chunks %v", types)
	}
	answer := func(seq uint32, result resetResult) []byte { return appendInts(nil, seq, uint32(result)) }
	if _, _, ok := r.handleResponse(2, answer(999, resetPerformed), 1011, time.Second); ok {
		t.Error("the response to another request is taken")
	}
	if streams, _, ok := r.handleResponse(2, answer(1000, resetInProgress), 1005, time.Second); !ok || streams != nil {
		t.Error("in progress ends a request")
	}
	if r.acknowledged(1005, 1011); !r.send {
		t.Error("the request is not sent again with the data")
	}
	if unanswered := r.timeout(); !unanswered {
		t.Error("a timeout of the repeated request is no error")
	}
	streams, err, _ := r.handleResponse(2, answer(1000, resetPerformed), 1011, time.Second)
	if len(streams) != 2 || err != nil || !r.idle() || r.nextSeq != 1001 {
		t.Errorf("streams %v, %v, next number %d", streams, err, r.nextSeq)
	}
	r.start([]uint16{5}, 1010)
	if _, err, _ := r.handleResponse(2, answer(1001, resetDenied), 1011, time.Second); err != ErrResetRefused {
		t.Errorf("denied: %v", err)
	}

	limit := uint16(10)
	request := func(typ paramType, seq uint32, ints ...uint16) param {
		b := appendInts(nil, seq)
		if typ == paramOutgoingReset {
			b = appendInts(b, 0, 3000)
		}
		for _, v := range ints {
			b = binary.BigEndian.AppendUint16(b, v)
		}
		return param{typ: typ, body: b}
	}
	result := func(o resetOutcome) resetResult {
		return resetResult(binary.BigEndian.Uint32(o.response[chunkHeaderSize+paramHeaderSize+4:]))
	}
	if o := r.handle(request(paramOutgoingReset, 2000, 9), 2999, &limit); result(o) != resetInProgress || o.perform {
		t.Error("reset before its data")
	}
	if _, ok := r.performDeferred(2999); ok {
		t.Error("deferred reset performed before its data")
	}
	if streams, ok := r.performDeferred(3000); !ok || len(streams) != 1 || streams[0] != 9 {
		t.Errorf("deferred reset of %v", streams)
	}
	if o := r.handle(request(paramOutgoingReset, 2000, 9), 3000, &limit); result(o) != resetPerformed || o.perform {
		t.Error("the repeated request is performed twice, or not answered")
	}
	if o := r.handle(request(paramOutgoingReset, 2001, 10), 3000, &limit); result(o) != resetWrongSSN || o.perform {
		t.Error("reset of a stream that the remote does not have")
	}
	if o := r.handle(request(paramAddOutgoing, 2002, 5, 0), 3000, &limit); result(o) != resetPerformed || limit != 15 {
		t.Errorf("%d streams", limit)
	}
	if o := r.handle(request(paramTSNReset, 2003), 3000, &limit); result(o) != resetDenied {
		t.Error("a TSN reset is not denied")
	}
	if o := r.handle(request(paramOutgoingReset, 2009, 1), 3000, &limit); result(o) != resetBadSequence {
		t.Error("a wrong number is accepted")
	}
}

// A cookie that is returned shows which case of COOKIE ECHO it is.
func TestHandshakePart(t *testing.T) {
	var h handshake
	h.begin(11, 500)
	h.peerTag = 22
	if !h.drawKey(rand.Reader) || h.drawKey(nil) != true {
		t.Fatal("the key is drawn once")
	}
	c := cookie{created: 5, localTag: 11, localTSN: 500, peer: initParams{tag: 22, inStreams: 7, initialTSN: 9, iData: true}}
	b := h.sealCookie(&c)
	if got, ok := h.openCookie(b); !ok || got != c {
		t.Errorf("cookie %+v, %v", got, ok)
	}
	for i := range b {
		forged := bytes.Clone(b)
		forged[i] ^= 1
		if _, ok := h.openCookie(forged); ok {
			t.Fatalf("a cookie changed in byte %d is accepted", i)
		}
	}
	for _, test := range []struct {
		why  string
		c    cookie
		s    State
		want cookieCase
	}{
		{"echoed twice", c, StateEstablished, cookieRepeat},
		{"both began", cookie{localTag: 11, peer: initParams{tag: 23}}, StateCookieEchoed, cookieCross},
		{"restart", cookie{localTag: 33, localTie: 11, peerTie: 22, peer: initParams{tag: 44}}, StateEstablished, cookieRestart},
		{"old", cookie{localTag: 33, localTie: 12, peerTie: 22, peer: initParams{tag: 44}}, StateEstablished, cookieUseless},
	} {
		if got := h.match(&test.c, test.s); got != test.want {
			t.Errorf("%s: case %d, want %d", test.why, got, test.want)
		}
	}
	h.send(10, stepInit, time.Second)
	if h.initSent(10); h.step != stepWait || h.timer == 0 {
		t.Error("the INIT waits for its answer")
	}
	for range maxInitRetransmissions {
		if !h.timeout(10, StateCookieWait, time.Second) || h.step != stepInit {
			t.Fatal("the INIT is not sent again")
		}
	}
	if h.timeout(10, StateCookieWait, time.Second) {
		t.Error("the INIT is sent again for ever")
	}
}

// DATA is assembled into messages, and causes a SACK at the right time.
func TestReceiverPart(t *testing.T) {
	cfg := Config{MaxMessageSize: 1000}
	var r receiver
	r.init(newMemory(&cfg), cfg.MaxMessageSize)
	r.begin(100, false, cfg.MaxMessageSize)
	now := instant(1)
	packet := func(tsn chunkTSN, ssn messageSeq, n int) *fault {
		t.Helper()
		r.beginPacket()
		_, err := r.handleData(tsn, fragment{stream: 1, seq: ssn, begin: true, end: true, data: make([]byte, n)}, false, 10)
		r.endPacket(now, false)
		return err
	}
	packet(100, 0, 10)
	if r.ack != ackDelayed || r.ackTimer != now+int64(ackDelay) {
		t.Error("the SACK of the first packet is not delayed")
	}
	packet(101, 1, 10)
	if r.ack != ackNow {
		t.Error("the second packet is not acknowledged at once")
	}
	w := newWriter()
	if r.appendSack(w); r.ack != ackNone || r.ackTimer != 0 || len(w.chunks()) != 1 {
		t.Errorf("chunks %v", w.chunks())
	}
	if packet(103, 3, 10); r.ack != ackNow {
		t.Error("a gap is not reported at once")
	}
	if n := r.reassembly.ready.n; n != 2 {
		t.Errorf("%d messages, want 2", n)
	}
	body := binary.BigEndian.AppendUint16(appendInts(nil, 102, 0)[:4], 1)
	body = binary.BigEndian.AppendUint16(body, 2) // stream 1, SSN 2
	if ok, err := r.handleForwardTSN(body, 10); !ok || err != nil || r.in.cum != 103 || r.reassembly.ready.n != 3 {
		t.Errorf("after FORWARD TSN: %v %v, cumulative TSN %d, %d messages", ok, err, r.in.cum, r.reassembly.ready.n)
	}
	if ok, _ := r.handleForwardTSN(body[:7], 10); !ok {
		t.Error("a second FORWARD TSN in a packet is examined")
	}
	if err := packet(104, 4, 1001); err == nil || err.code != CauseProtocolViolation {
		t.Errorf("a message that is too long: %v", err)
	}
	if err := packet(105, 5, 0); err == nil || err.code != CauseNoUserData {
		t.Errorf("no data: %v", err)
	}
}

// Data is sent in chunks, acknowledged, and retransmitted when it is lost.
func TestSenderPart(t *testing.T) {
	cfg := Config{MaxMessageSize: 1000}
	var s sender
	s.mtu = 1200
	s.queue.memory = newMemory(&cfg)
	s.out.reset(100)
	s.begin(CongestionReno, 1, 100_000, false)
	now := instant(1)
	send := func() int {
		w := newWriter()
		s.beginPacket()
		s.appendPayload(now, w, StateEstablished)
		return len(w.chunks())
	}
	for range 4 {
		s.send(now, Message{Stream: 1, Data: make([]byte, 1100)}, SendOptions{}, false)
		if send() != 1 {
			t.Fatal("a chunk is not sent")
		}
	}
	if s.t3 == 0 || s.drained() || !s.awaitsAck() {
		t.Error("the retransmission timer does not run")
	}
	now += 100 * ms
	if _, ok := s.handleSack(now, appendInts(nil, 104, 100_000, 0), 0); ok {
		t.Error("data that was never sent is acknowledged")
	}
	r, ok := s.handleSack(now, appendInts(nil, 99, 100_000, 1<<16, 2<<16|4), 0)
	if !ok || !r.progress || s.out.lost != 1 {
		t.Errorf("%+v %v, %d chunks lost, want 1", r, ok, s.out.lost)
	}
	if send() != 1 || s.counters.ChunksRetransmitted != 1 {
		t.Error("the lost chunk is not retransmitted")
	}
	now += 100 * ms
	if r, ok := s.handleSack(now, appendInts(nil, 103, 100_000, 0), 0); !ok || !r.progress || !s.drained() || s.t3 != 0 {
		t.Error("everything is acknowledged")
	}
	s.send(now, Message{Stream: 1, Data: make([]byte, 100)}, SendOptions{LimitRetransmits: true}, true)
	send()
	if err := s.retransmissionTimeout(now); err != nil || !s.skip.due || s.counters.MessagesAbandoned != 1 {
		t.Error("a message that may not be retransmitted is not abandoned")
	}
}

// The state determines which chunk a shutdown sends.
func TestShutdownPart(t *testing.T) {
	var s shutdown
	for state, want := range map[State]chunkType{StateShutdownSent: chunkShutdown, StateShutdownAckSent: chunkShutdownAck} {
		s.start(1, time.Second)
		w := newWriter()
		s.appendChunk(w, state, 7)
		s.appendChunk(w, state, 7)
		if types := w.chunks(); len(types) != 1 || types[0] != want {
			t.Errorf("%v: chunks %v", state, types)
		}
	}
	if guard := s.guard; guard != 1+int64(shutdownGuard) || s.timer != 1+1000*ms {
		t.Errorf("guard %d, timer %d", guard, s.timer)
	}
}

// On a short path acknowledgements are gathered, several streams share a smaller window,
// and small messages may exceed it.
func TestShortPathPart(t *testing.T) {
	const window, queued = 160 << 10, 1 << 20
	var p shortPath
	now := instant(1)
	p.sent(now, 1)
	now += sharedTime
	for _, step := range []struct {
		why       string
		inFlight  int
		smallNext bool
		want      bool
	}{
		{"the window fills", 0, false, true},
		{"up to the end", window - 1, false, true},
		{"it is full", window, false, false},
		{"an acknowledgement alone releases nothing", window - 10_000, false, false},
		{"a small message is released", window + urgentRoom, true, true},
		{"up to a bound", window + urgentRoom + 1, true, false},
		{"enough for a burst is free", window - maxGathered, false, true},
		{"the burst goes on", window - 1, false, true},
	} {
		if got := p.windowOpen(now, window, step.inFlight, queued, false, step.smallNext); got != step.want {
			t.Errorf("%s: %v", step.why, got)
		}
	}
	p.windowOpen(now, window, window, queued, false, false)
	if !p.windowOpen(now, window, window-10_000, 5000, false, false) {
		t.Error("data that fits into the free room waits")
	}
	p.windowOpen(now, window, window, queued, false, false)
	if !p.windowOpen(now, window, window-10_000, queued, true, false) {
		t.Error("lost data waits")
	}
	p.sent(now, 2)
	if p.windowOpen(now, window, sharedWindow, queued, false, false) || !p.windowOpen(now, window, sharedWindow/2, queued, false, false) {
		t.Error("two streams do not share a smaller window")
	}
}
