package sctp

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"
)

// A script is one association whose remote is the test.
type script struct {
	t   testing.TB
	a   *Association
	now time.Time
	// State of the remote.
	tag uint32
	tsn chunkTSN
	in  int // number of bytes that write has passed to the association
}

const scriptTag = 0xabcdef01

// newScript returns an established association whose remote offered the extensions in
// ext (RFC 5061 §4.2.7).
func newScript(t testing.TB, ext ...byte) *script {
	t.Helper()
	return newScriptWith(t, Config{}, 100, ext...)
}

// newScriptWith is newScript with a configuration and a number of streams of the remote.
func newScriptWith(t testing.TB, cfg Config, streams uint16, ext ...byte) *script {
	t.Helper()
	cfg.DisableZeroChecksum, cfg.CongestionControl = true, CongestionReno
	s := &script{t: t, a: NewAssociation(cfg), now: time.Unix(1e9, 0), tsn: 100}
	s.a.Connect(s.now)
	init, ok := s.a.AppendPacket(s.now, nil, 1200)
	if !ok {
		t.Fatal("no INIT")
	}
	c, _, _ := nextChunk(init[12:])
	s.tag = binary.BigEndian.Uint32(c.body)
	b, start := beginChunk(nil, chunkInitAck, 0)
	b = appendInts(b, scriptTag, 100000, uint32(streams)<<16|50, uint32(s.tsn))
	b = appendParam(b, paramStateCookie, []byte("cookie"))
	b = endChunk(appendParam(b, paramSupportedExt, ext), start)
	s.write(b)
	s.want("COOKIE ECHO", chunkCookieEcho)
	s.write([]byte{byte(chunkCookieAck), 0, 0, 4})
	if s.a.State() != StateEstablished {
		t.Fatalf("state %v", s.a.State())
	}
	return s
}

// write hands a packet of these chunks to the association.
func (s *script) write(chunks ...[]byte) {
	pkt := appendCommonHeader(nil, 5000, 5000, s.tag)
	for _, c := range chunks {
		pkt = append(pkt, c...)
	}
	setChecksum(pkt)
	s.in += len(pkt)
	s.a.HandlePacket(s.now, pkt)
}

// want takes the next packet, which must begin with these chunks, and returns
// the body of the last.
func (s *script) want(why string, types ...chunkType) []byte {
	s.t.Helper()
	pkt, ok := s.a.AppendPacket(s.now, nil, 1200)
	if !ok {
		s.t.Fatalf("%s: nothing sent", why)
	}
	rest := pkt[12:]
	var body []byte
	for _, typ := range types {
		c, r, ok := nextChunk(rest)
		if !ok || c.typ != typ {
			s.t.Fatalf("%s: packet %x, want chunk %d", why, pkt, typ)
		}
		body, rest = c.body, r
	}
	return body
}

func (s *script) wantIdle(why string) {
	s.t.Helper()
	if pkt, ok := s.a.AppendPacket(s.now, nil, 1200); ok {
		s.t.Fatalf("%s: sent %x", why, pkt)
	}
}

func (s *script) advanceToTimer() {
	s.t.Helper()
	s.now = s.a.NextTimeout()
	s.a.Advance(s.now)
}

// data returns a DATA chunk of the remote with one complete message.
func (s *script) data(stream, ssn uint16, flags byte) []byte {
	b, start := beginChunk(nil, chunkData, flags)
	b = appendInts(b, uint32(s.tsn), uint32(stream)<<16|uint32(ssn), 53)
	s.tsn++
	return endChunk(append(b, "data"...), start)
}

// If the remote's INIT arrives before the local INIT is sent, the local INIT is not
// needed: the remote's cookie establishes the association. If no COOKIE ECHO arrives,
// the local INIT is sent when its timer expires.
func TestInitIsSpared(t *testing.T) {
	begin := func() *script {
		s := &script{t: t, a: NewAssociation(Config{}), now: time.Unix(1e9, 0), tsn: 100}
		s.a.Connect(s.now)
		b, start := beginChunk(nil, chunkInit, 0)
		s.write(endChunk(appendInts(b, scriptTag, 100000, 100<<16|50, uint32(s.tsn)), start))
		return s
	}
	s := begin()
	ic, err := parseInit(s.want("the answer", chunkInitAck))
	if err != nil {
		t.Fatal(err)
	}
	s.wantIdle("no INIT beside it")
	s.tag = ic.tag
	b, start := beginChunk(nil, chunkCookieEcho, 0)
	s.write(endChunk(append(b, ic.cookie...), start))
	if s.a.State() != StateEstablished {
		t.Errorf("state %v after the cookie", s.a.State())
	}
	s.want("the cookie's answer", chunkCookieAck)

	s = begin()
	ic, _ = parseInit(s.want("the answer", chunkInitAck))
	s.wantIdle("no INIT beside it")
	s.advanceToTimer()
	again, err := parseInit(s.want("our own INIT", chunkInit))
	if err != nil || again.tag != ic.tag {
		t.Errorf("our INIT has tag %x, its forerunner %x: %v", again.tag, ic.tag, err)
	}
}

// beginScript returns an association that has sent its INIT, and the tag in it.
func beginScript(t testing.TB, cfg Config) *script {
	t.Helper()
	s := &script{t: t, a: NewAssociation(cfg), now: time.Unix(1e9, 0), tsn: 100}
	s.a.Connect(s.now)
	ic, err := parseInit(s.want("INIT", chunkInit))
	if err != nil {
		t.Fatal(err)
	}
	s.tag = ic.tag
	return s
}

// initAck returns an INIT ACK of the remote.
func initAck(tag, rwnd uint32) []byte {
	b, start := beginChunk(nil, chunkInitAck, 0)
	b = appendInts(b, tag, rwnd, 100<<16|50, 100)
	return endChunk(appendParam(b, paramStateCookie, []byte("cookie")), start)
}

// An INIT ACK with a window that is too small is refused and changes nothing. A valid
// INIT ACK that follows establishes the association (RFC 9260 §3.3.3).
func TestInitAckWithTooSmallWindow(t *testing.T) {
	s := beginScript(t, Config{})
	s.write(initAck(scriptTag, 1499))
	s.want("the refusal", chunkAbort)
	s.wantIdle("no cookie")
	if s.a.State() != StateCookieWait {
		t.Errorf("state %v", s.a.State())
	}
	s.write(initAck(scriptTag, 1500))
	s.want("the cookie", chunkCookieEcho)
}

// An INIT ACK without a tag ends the handshake, by an ABORT with the tag of the
// received packet (RFC 9260 §3.3.3).
func TestInitAckWithoutTag(t *testing.T) {
	s := beginScript(t, Config{})
	s.write(initAck(0, 100000))
	pkt, ok := s.a.AppendPacket(s.now, nil, 1200)
	if !ok || binary.BigEndian.Uint32(pkt[4:]) != s.tag || pkt[12] != byte(chunkAbort) || pkt[13] != flagReflected {
		t.Errorf("the answer is %x", pkt)
	}
	if ev, _ := s.a.NextEvent(); ev.Kind != EventFailed {
		t.Errorf("event %v", ev)
	}
}

// The remote's port may become known after the association was created. It can be set
// until the association connects.
func TestSetRemotePort(t *testing.T) {
	a := NewAssociation(Config{})
	a.SetRemotePort(6000)
	now := time.Unix(1e9, 0)
	a.Connect(now)
	a.SetRemotePort(7000)
	pkt, _ := a.AppendPacket(now, nil, 1200)
	if len(pkt) < 4 || binary.BigEndian.Uint32(pkt) != 5000<<16|6000 {
		t.Errorf("packet %x", pkt)
	}
}

func sack(cum chunkTSN, rwnd uint32, gaps ...uint32) []byte {
	b, start := beginChunk(nil, chunkSack, 0)
	b = appendInts(b, uint32(cum), rwnd, uint32(len(gaps))<<16)
	return endChunk(appendInts(b, gaps...), start)
}

func TestUnknownChunks(t *testing.T) {
	for _, test := range []struct {
		typ        byte
		report, on bool
	}{{0x3f, false, false}, {0x7f, true, false}, {0xbf, false, true}, {0xff, true, true}} {
		s := newScript(t)
		s.write([]byte{test.typ, 0, 0, 4}, s.data(0, 0, 3), s.data(0, 1, 3))
		if test.report {
			s.want("unknown chunk", chunkError)
		}
		if _, ok := s.a.Receive(); ok != test.on {
			t.Errorf("chunk %#x: data after it delivered: %v", test.typ, ok)
		}
	}
}

func TestSackPolicy(t *testing.T) {
	s := newScript(t)
	s.write(s.data(0, 0, 3))
	s.wantIdle("the SACK of a single packet is delayed")
	s.advanceToTimer()
	s.want("after the delay", chunkSack)
	s.write(s.data(0, 1, 3))
	s.write(s.data(0, 2, 3))
	s.want("every second packet", chunkSack)
	s.wantIdle("once")
	s.write(s.data(0, 3, 3|flagImmediate))
	s.want("I bit", chunkSack)
	s.tsn++
	s.write(s.data(0, 5, 3))
	body := s.want("gap", chunkSack)
	if got := binary.BigEndian.Uint16(body[8:]); got != 1 || binary.BigEndian.Uint32(body[12:]) != 2<<16|2 {
		t.Errorf("gap blocks %x", body[8:])
	}
	s.tsn = 100
	s.write(s.data(0, 0, 3))
	body = s.want("duplicate", chunkSack)
	if got := binary.BigEndian.Uint16(body[10:]); got != 1 {
		t.Errorf("%d duplicates", got)
	}
	s.a.Send(s.now, Message{Data: []byte("x")}, SendOptions{})
	s.tsn = 105
	s.want("data", chunkData)
	s.write(sack(s.a.sender.out.first, 100000), []byte{byte(chunkPad), 0, 0, 4})
	s.wantIdle("all acknowledged")
}

func TestFastRetransmit(t *testing.T) {
	s := newScript(t)
	for range 5 {
		s.a.Send(s.now, Message{Data: make([]byte, 1170)}, SendOptions{})
	}
	first := s.a.sender.out.end
	for range 5 {
		s.want("data", chunkData)
	}
	cwnd := s.a.sender.cc.window()
	s.now = s.now.Add(40 * time.Millisecond)
	for n := uint32(2); n <= 4; n++ {
		s.wantIdle("two reports are not enough")
		s.now = s.now.Add(time.Millisecond)
		s.write(sack(first-1, 100000, 2<<16|n))
	}
	body := s.want("third miss indication", chunkData)
	if chunkTSN(binary.BigEndian.Uint32(body)) != first || s.a.sender.cc.window() >= cwnd {
		t.Errorf("TSN %x, cwnd %d", body[:4], s.a.sender.cc.window())
	}
	// The remote reneges: the cumulative TSN stops before an acknowledged chunk.
	s.write(sack(first, 100000, 2<<16|2))
	s.want("the path may be shorter", chunkHeartbeat)
	s.wantIdle("a SACK alone causes no retransmission")
	timeouts := s.a.sender.counters.Timeouts
	for s.a.sender.counters.Timeouts == timeouts {
		s.advanceToTimer()
	}
	body = s.want("reneged chunk", chunkData)
	if chunkTSN(binary.BigEndian.Uint32(body)) != first+1 {
		t.Errorf("TSN %x", body[:4])
	}
}

func TestBadSacksAreIgnored(t *testing.T) {
	s := newScript(t)
	s.a.Send(s.now, Message{Data: make([]byte, 1000)}, SendOptions{})
	first := s.a.sender.out.end
	s.want("data", chunkData)
	for name, c := range map[string][]byte{
		"a gap block of the next TSN": sack(first, 100000, 1<<16|1),
		"beyond what was sent":        sack(first, 100000, 2<<16|60000),
		"an end before its start":     sack(first, 100000, 5<<16|2),
		"blocks out of order":         sack(first-1, 100000, 3<<16|3, 2<<16|2),
		"TSNs that were never sent":   sack(first+5, 100000),
		"cut short":                   {byte(chunkSack), 0, 0, 8, 0, 0, 0, 0},
		"fewer blocks than it says":   {byte(chunkSack), 0, 0, 16, byte(first >> 24), byte(first >> 16), byte(first >> 8), byte(first), 0, 1, 0, 0, 0, 1, 0, 0},
		"fewer duplicates":            {byte(chunkSack), 0, 0, 16, byte(first >> 24), byte(first >> 16), byte(first >> 8), byte(first), 0, 1, 0, 0, 0, 0, 0, 1},
	} {
		before := s.a.dropped
		s.write(c)
		if s.a.sender.out.empty() || s.a.sender.rwnd != 100000 || s.a.dropped == before {
			t.Errorf("%s: the SACK was taken", name)
		}
	}
	s.write(sack(first, 100000))
	if s.a.State() != StateEstablished || !s.a.sender.out.empty() {
		t.Errorf("state %v, %d outstanding", s.a.State(), s.a.sender.out.len())
	}
}

func TestHeartbeat(t *testing.T) {
	s := newScript(t)
	s.write([]byte{byte(chunkHeartbeat), 0, 0, 12, 0, 1, 0, 8, 1, 2, 3, 4})
	if body := s.want("answer", chunkHeartbeatAck); string(body) != "\x00\x01\x00\x08\x01\x02\x03\x04" {
		t.Errorf("info %x", body)
	}
	s.advanceToTimer()
	for !s.a.heartbeat.awaiting {
		if pkt, ok := s.a.AppendPacket(s.now, nil, 1200); ok {
			c, _, _ := nextChunk(pkt[12:])
			info := append([]byte{byte(chunkHeartbeatAck), 0, 0, byte(len(c.whole))}, c.body...)
			s.now = s.now.Add(33 * time.Millisecond)
			s.write(info)
			break
		}
		s.advanceToTimer()
	}
	if rtt := s.a.Stats().SmoothedRTT; rtt != 33*time.Millisecond {
		t.Errorf("RTT %v", rtt)
	}
}

// resetRequest returns a RE-CONFIG chunk with one request of the remote.
func resetRequest(typ paramType, seq uint32, last chunkTSN, streams ...byte) []byte {
	b, start := beginChunk(nil, chunkReconfig, 0)
	body := appendInts(nil, seq)
	if typ == paramOutgoingReset {
		body = appendInts(body, 0, uint32(last))
	}
	return endChunk(appendParam(b, typ, append(body, streams...)), start)
}

// wantResult takes the next packet, which must hold the response to a request.
func (s *script) wantResult(why string, seq uint32, want resetResult) {
	s.t.Helper()
	body := s.want(why, chunkReconfig)
	if got := binary.BigEndian.Uint32(body[8:]); binary.BigEndian.Uint32(body[4:]) != seq || resetResult(got) != want {
		s.t.Errorf("%s: seq %d result %d, want %d %d", why, binary.BigEndian.Uint32(body[4:]), got, seq, want)
	}
}

// wantResets counts the EventStreamsReset in the queue.
func (s *script) wantResets(why string, want int) {
	s.t.Helper()
	n := 0
	for ev, ok := s.a.NextEvent(); ok; ev, ok = s.a.NextEvent() {
		if ev.Kind == EventStreamsReset {
			n++
		}
	}
	if n != want {
		s.t.Errorf("%s: %d resets, want %d", why, n, want)
	}
}

// The remote may reset a stream twice without sending data in between. Both requests
// then have the same streams and the same last TSN. A request with equal contents is a
// repetition only if the answer to the first one was "in progress": some remotes
// repeat it under a new number.
func TestEqualResetsAreTwo(t *testing.T) {
	for _, test := range []struct {
		why     string
		renewed bool // the remote repeats the deferred request under a new number
	}{{"same number", false}, {"new number", true}} {
		s := newScript(t, byte(chunkReconfig))
		seq := uint32(100)
		last := s.tsn
		s.write(resetRequest(paramOutgoingReset, seq, last, 0, 2))
		s.wantResult("data missing", seq, resetInProgress)
		s.wantResets("data missing", 0)
		s.write(s.data(2, 0, 3))
		s.wantResets("data came", 1)
		s.a.AppendPacket(s.now, nil, 1200) // SACK
		s.wantIdle("the answer waits for the question")
		if test.renewed {
			seq++
		}
		for range 2 {
			s.write(resetRequest(paramOutgoingReset, seq, last, 0, 2))
			s.wantResult(test.why, seq, resetPerformed)
			s.wantResets(test.why, 0)
		}
		seq++
		s.write(resetRequest(paramOutgoingReset, seq, last, 0, 2))
		s.wantResult("the second reset", seq, resetPerformed)
		s.wantResets(test.why+": the second reset", 1)
	}
}

// If the remote answers a request with "in progress", the request is sent again, under
// the same number, with the SACK that shows that the remote has the missing data.
func TestResetIsRepeatedWithTheData(t *testing.T) {
	s := newScript(t, byte(chunkReconfig))
	s.a.Send(s.now, Message{Stream: 1, Data: []byte("x")}, SendOptions{})
	s.want("data", chunkData)
	s.a.ResetStreams(s.now, 3)
	first := s.want("the request", chunkReconfig)
	b, start := beginChunk(nil, chunkReconfig, 0)
	inProgress := endChunk(appendParam(b, paramReconfigResponse, appendInts(append([]byte(nil), first[4:8]...), uint32(resetInProgress))), start)
	s.write(inProgress)
	s.wantIdle("the remote lacks data")
	s.write(sack(s.a.sender.out.end-1, 100000))
	if again := s.want("the request again", chunkReconfig); !bytes.Equal(again, first) {
		t.Errorf("the request is %x, then %x", first, again)
	}
	s.write(inProgress)
	s.write(sack(s.a.sender.out.end-1, 100000))
	s.wantIdle("once")
}

func TestReconfigRequests(t *testing.T) {
	s := newScript(t, byte(chunkReconfig))
	request, wantResult := resetRequest, s.wantResult
	s.write(request(paramOutgoingReset, 100, 99, 0, 1))
	wantResult("reset", 100, resetPerformed)
	s.write(request(paramOutgoingReset, 100, 99, 0, 1))
	wantResult("the same again", 100, resetPerformed)
	s.write(request(paramOutgoingReset, 107, 99, 0, 1))
	wantResult("wrong number", 107, resetBadSequence)
	s.write(request(paramIncomingReset, 101, 0, 0, 1))
	wantResult("incoming reset", 101, resetDenied)
	s.write(request(paramAddOutgoing, 102, 0, 0xff, 0xff, 0, 0))
	wantResult("add more streams than there are", 102, resetDenied)
	s.write(request(paramOutgoingReset, 103, 100, 0, 2))
	wantResult("data missing", 103, resetInProgress)
	s.write(s.data(2, 0, 3))
	s.write(request(paramOutgoingReset, 104, 100, 0, 2))
	wantResult("repeated under a new number", 104, resetPerformed)
	s.write(request(paramOutgoingReset, 105, 100, 0xff, 0xff))
	wantResult("no such stream", 105, resetWrongSSN)
	s.write(s.data(3, 0, 3))
	s.write(request(paramOutgoingReset, 106, 101))
	wantResult("all streams", 106, resetPerformed)
	resets := 0
	var last Event
	for {
		s.a.Receive()
		ev, ok := s.a.NextEvent()
		if !ok {
			break
		}
		if ev.Kind == EventStreamsReset {
			resets++
			last = ev
		}
	}
	if resets != 3 || len(last.Streams) != 0 {
		t.Errorf("%d resets of 3, the last of %d streams, not of all", resets, len(last.Streams))
	}
	// The remote refuses the local request.
	s.a.ResetStreams(s.now, 3)
	body := s.want("our request", chunkReconfig)
	if !s.a.Awaiting() {
		t.Error("no answer to our request is awaited")
	}
	seq := binary.BigEndian.Uint32(body[4:])
	response := func(result resetResult) []byte {
		b, start := beginChunk(nil, chunkReconfig, 0)
		return endChunk(appendParam(b, paramReconfigResponse, appendInts(nil, seq, uint32(result))), start)
	}
	s.write(response(resetInProgress))
	s.wantIdle("in progress: later")
	for {
		s.advanceToTimer()
		if pkt, ok := s.a.AppendPacket(s.now, nil, 1200); ok && chunkType(pkt[12]) == chunkReconfig {
			break
		}
	}
	if s.a.errorCount != 0 || s.a.sender.rto.backoff != 0 {
		t.Errorf("to wait as asked counts as %d errors, %d times backed off", s.a.errorCount, s.a.sender.rto.backoff)
	}
	s.write(response(resetDenied))
	if s.a.Awaiting() {
		t.Error("an answer is still awaited")
	}
	if ev, _ := s.a.NextEvent(); ev.Kind != EventResetFailed || ev.Err != ErrResetRefused {
		t.Errorf("event %+v", ev)
	}
}

func TestViolationsAbort(t *testing.T) {
	for name, chunk := range map[string][]byte{
		"no data":   {0, 3, 0, 16, 0, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0, 53},
		"I-DATA":    append([]byte{64, 3, 0, 24, 0, 0, 0, 100}, make([]byte, 16)...),
		"I-FORWARD": {194, 0, 0, 8, 0, 0, 0, 100},
	} {
		s := newScript(t)
		s.write(chunk)
		s.want(name, chunkAbort)
		if s.a.Err() == nil {
			t.Error(name)
		}
	}
}

func TestStaleAndForgedCookies(t *testing.T) {
	now := time.Unix(1e9, 0)
	client, server := NewAssociation(Config{}), NewAssociation(Config{})
	client.Connect(now)
	init, _ := client.AppendPacket(now, nil, 1200)
	server.HandlePacket(now, init)
	ack, _ := server.AppendPacket(now, nil, 1200)
	client.HandlePacket(now, ack)
	echo, _ := client.AppendPacket(now, nil, 1200)

	forged := append([]byte(nil), echo...)
	forged[60] ^= 1
	setChecksum(append(forged[:8], append(make([]byte, 4), forged[12:]...)...))
	server.HandlePacket(now, forged)
	if server.State() != StateClosed {
		t.Fatal("a forged cookie was taken")
	}
	late := now.Add(cookieLifetime + time.Second)
	server.HandlePacket(late, echo)
	stale, ok := server.AppendPacket(late, nil, 1200)
	if !ok || chunkType(stale[12]) != chunkError || server.State() != StateClosed {
		t.Fatalf("stale cookie: %x", stale)
	}
	client.HandlePacket(late, stale)
	if client.State() != StateCookieWait {
		t.Errorf("client %v", client.State())
	}
	again, _ := client.AppendPacket(late, nil, 1200)
	server.HandlePacket(late, again)
	ack, _ = server.AppendPacket(late, nil, 1200)
	client.HandlePacket(late, ack)
	echo, _ = client.AppendPacket(late, nil, 1200)
	server.HandlePacket(late, echo)
	if server.State() != StateEstablished {
		t.Errorf("server %v", server.State())
	}
}

// A chunk cut for a larger limit is sent anyway.
func TestLimitShrinks(t *testing.T) {
	s := newScript(t)
	s.a.Send(s.now, Message{Data: make([]byte, 1100)}, SendOptions{})
	s.want("data", chunkData)
	for s.a.sender.out.lost == 0 {
		s.advanceToTimer()
	}
	pkt, ok := s.a.AppendPacket(s.now, nil, 600)
	if !ok || len(pkt) < 1100 {
		t.Errorf("%d bytes, %v", len(pkt), ok)
	}
}

// A stream on which the two ends have just exchanged messages is reset in both
// directions within two round trips: the delayed SACK of the last message goes with the
// request.
func TestResetTakesTheSack(t *testing.T) {
	p := newPair(t, 1, Config{}, Config{})
	p.connect()
	p.send(0, 1, []byte("ping"), SendOptions{})
	p.run(time.Second)
	p.send(1, 1, []byte("pong"), SendOptions{})
	p.run(p.delay + time.Millisecond) // the message has arrived, and its SACK is delayed
	if len(p.got[0]) != 1 || p.ends[0].receiver.ack != ackDelayed {
		t.Fatalf("%d messages, SACK %v", len(p.got[0]), p.ends[0].receiver.ack)
	}
	p.ends[0].ResetStreams(p.now, 1)
	p.flush(0)
	p.run(p.delay + time.Millisecond)
	p.ends[1].ResetStreams(p.now, 1)
	p.flush(1)
	packets := p.packets
	p.run(3*p.delay + time.Millisecond)
	for i := range p.ends {
		p.wantEvent(i, EventStreamsReset)
	}
	if n := p.packets - packets; n > 2 {
		t.Errorf("%d packets after both requests", n)
	}
}
