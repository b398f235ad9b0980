package dtls

import (
	"slices"
	"testing"
	"time"
)

// TestPartialRetransmission loses one datagram of a flight. The client acknowledges
// the other datagrams, and the server sends only the lost part again.
func TestPartialRetransmission(t *testing.T) {
	p := newPair(t, only13)
	p.limit = 400
	p.client.SetRTT(2 * p.delay)
	var bytes [2]int // bytes sent for the first time, and bytes sent again
	lost := 0
	p.meddle = func(i int, d []byte) []delivery {
		fromServer := p.server.out.outstanding() && len(p.server.out.sent) > 0 && !p.client.Established()
		if !fromServer {
			return []delivery{{d, 0}}
		}
		again := 0
		if p.server.Stats().Retransmissions > 0 {
			again = 1
		}
		bytes[again] += len(d)
		if d[0]&unifiedMask == unifiedFixed && lost == 0 {
			lost = len(d)
			return nil
		}
		return []delivery{{d, 0}}
	}
	p.connect()
	if lost == 0 || p.server.Stats().Retransmissions != 1 {
		t.Fatalf("lost %d bytes, %d retransmissions", lost, p.server.Stats().Retransmissions)
	}
	if bytes[1] > 3*lost {
		t.Errorf("%d bytes again after %d were lost of %d", bytes[1], lost, bytes[0])
	}
	p.exchange()
}

// TestFinishedAcknowledged checks that the client sends its Finished again until it
// receives an ACK, and that the server acknowledges each Finished.
func TestFinishedAcknowledged(t *testing.T) {
	p := newPair(t, only13)
	drops := 2
	p.meddle = func(i int, d []byte) []delivery {
		if p.server.Established() && drops > 0 && p.client.out.timed() && p.client.out.retransmitAt.After(p.now) {
			drops--
			return nil // the server's ACK is lost
		}
		return []delivery{{d, 0}}
	}
	p.connect()
	if drops != 0 || p.client.Stats().Retransmissions == 0 {
		t.Errorf("%d drops left, %d retransmissions", drops, p.client.Stats().Retransmissions)
	}
	if p.client.out.outstanding() || p.client.records.readEpoch(epochHandshake) != nil {
		t.Error("the client remembers its handshake")
	}
	if p.server.records.readEpoch(epochHandshake) == nil {
		t.Error("the server forgot it too soon")
	}
	p.now = p.server.NextTimeout()
	p.server.Advance(p.now)
	if p.server.records.readEpoch(epochHandshake) != nil || !p.server.NextTimeout().IsZero() {
		t.Error("the server remembers it for ever")
	}
	p.exchange()
}

// TestServerGoneAfterFinished checks that a client whose Finished is not acknowledged stops
// sending it, but keeps the connection, since the server may send data.
func TestServerGoneAfterFinished(t *testing.T) {
	p := newPair(t, only13)
	p.start()
	for !p.client.Established() {
		p.step()
	}
	p.meddle = func(int, []byte) []delivery { return nil }
	p.wire = nil
	for range 200 {
		if !p.step() {
			break
		}
	}
	if !p.client.NextTimeout().IsZero() || p.client.Err() != nil {
		t.Errorf("next timeout %v, err %v", p.client.NextTimeout(), p.client.Err())
	}
}

func TestAckRanges(t *testing.T) {
	m := outMessage{body: make([]byte, 100)}
	want := func(offset, from, to int, ok bool) {
		t.Helper()
		if f, e, o := m.missing(offset); f != from && ok || e != to && ok || o != ok {
			t.Errorf("missing(%d) = %d, %d, %v; want %d, %d, %v", offset, f, e, o, from, to, ok)
		}
	}
	want(0, 0, 100, true)
	m.acknowledge(20, 40)
	want(0, 0, 20, true)
	want(20, 40, 100, true)
	want(30, 40, 100, true)
	m.acknowledge(60, 100)
	want(40, 40, 60, true)
	want(60, 0, 0, false)
	m.acknowledge(0, 60)
	want(0, 0, 0, false)
	if !m.done {
		t.Error("not done")
	}
	empty := outMessage{}
	if _, _, ok := empty.missing(0); !ok {
		t.Error("an empty message does not go")
	}
	if empty.acknowledge(0, 0); !empty.done {
		t.Error("an empty message cannot be acknowledged")
	}
}

// TestAckLimits checks the limits on stored record numbers, and that a malformed ACK
// is counted.
func TestAckLimits(t *testing.T) {
	p := newPair(t, only13)
	p.connect()
	var q ackQueue
	for i := range uint64(2 * maxAcks) {
		q.add(&recordHeader{epoch: 3, seq: i})
		q.add(&recordHeader{epoch: 3, seq: i})
	}
	if len(q.numbers) != maxAcks || q.numbers[0].seq != maxAcks {
		t.Errorf("%d numbers from %d on", len(q.numbers), q.numbers[0].seq)
	}
	f := flight{messages: []outMessage{{body: make([]byte, 1000)}}}
	for i := range uint64(2 * maxSentRecords) {
		f.noteSent(recordNumber{3, i}, []sentPart{{0, int(i), int(i) + 1}})
	}
	if len(f.sent) != maxSentRecords || f.acknowledge(recordNumber{3, 0}) || !f.acknowledge(recordNumber{3, 2*maxSentRecords - 1}) {
		t.Errorf("%d records", len(f.sent))
	}
	before := p.server.Stats().Malformed
	bad := [][]byte{nil, {0}, {0, 1}, {0, 16}, {0, 8, 1, 2, 3, 4, 5, 6, 7, 8}, slices.Repeat([]byte{0}, 100)}
	for _, b := range bad[:5] {
		p.server.handleAck(p.now, epochData, b)
	}
	if got := p.server.Stats().Malformed - before; got != 5 {
		t.Errorf("%d counted", got)
	}
}

// TestFullNumber checks the reconstruction of record numbers (RFC 9147 §4.2.2).
func TestFullNumber(t *testing.T) {
	for _, tc := range []struct {
		expected, low uint64
		bits          int
		want          uint64
	}{
		{0, 0, 16, 0}, {0, 5, 8, 5}, {1, 0xffff, 16, 0xffff}, {0x10000, 0xffff, 16, 0xffff},
		{0x1ffff, 1, 16, 0x20001}, {0x12345, 0x2340, 16, 0x12340}, {0x1ff, 0x00, 8, 0x200}, {0x200, 0xff, 8, 0x1ff},
		{0x282, 0x01, 8, 0x301}, {0x280, 0x01, 8, 0x201},
	} {
		if got := fullNumber(tc.expected, tc.low, tc.bits); got != tc.want {
			t.Errorf("fullNumber(%#x, %#x, %d) = %#x, want %#x", tc.expected, tc.low, tc.bits, got, tc.want)
		}
	}
	// The function finds every number within half of the range.
	for expected := uint64(0); expected < 1000; expected++ {
		for d := -100; d <= 100; d++ {
			if n := expected + uint64(d); int(expected)+d >= 0 && fullNumber(expected, n&0xff, 8) != n {
				t.Fatalf("expected %d, number %d: %d", expected, n, fullNumber(expected, n&0xff, 8))
			}
		}
	}
}

// TestAckDelay checks that a client acknowledges a part of the server's flight after a
// quarter of the retransmission timer, not before.
func TestAckDelay(t *testing.T) {
	p := newPair(t, only13)
	p.start()
	p.limit = 400
	var last []byte
	p.meddle = func(i int, d []byte) []delivery {
		if p.server.out.outstanding() && !p.server.out.pending() && last == nil {
			last = d // the end of the server's flight
			return nil
		}
		return []delivery{{d, 0}}
	}
	for last == nil || len(p.wire) > 0 {
		p.step()
	}
	want := defaultInitialTimeout / 4
	if at := p.client.acks.nextTimeout(); at.IsZero() || p.now.Sub(at) > 0 || at.Sub(p.now) > want {
		t.Fatalf("ACK in %v, want %v", at.Sub(p.now), want)
	}
	n := p.sent
	p.now = p.now.Add(want)
	p.client.Advance(p.now)
	p.flush()
	if p.sent != n+1 {
		t.Errorf("%d datagrams", p.sent-n)
	}
	p.run()
	if took := p.now.Sub(epoch); !p.server.Established() || took > 300*time.Millisecond {
		t.Errorf("took %v", took)
	}
}

// TestForgedAck forges an ACK in plaintext for a ClientHello that was lost. The
// ClientHello is still sent again.
func TestForgedAck(t *testing.T) {
	for _, tc := range []struct {
		why    string
		lost   int // index of the lost datagram, which contains the hello
		client bool
		server []Group
	}{
		{"ServerHello", 1, false, []Group{GroupX25519}},
		{"second ClientHello", 2, true, []Group{GroupP256}},
	} {
		p := newPair(t, func(client, server *Config) {
			only13(client, server)
			client.Groups, server.Groups = []Group{GroupX25519, GroupP256}, tc.server
		})
		p.meddle = func(i int, d []byte) []delivery {
			if i == tc.lost {
				return nil
			}
			return []delivery{{d, 0}}
		}
		p.start()
		for p.sent <= tc.lost && p.step() {
		}
		victim := p.server
		if tc.client {
			victim = p.client
		}
		ack := []byte{0, 2 * recordNumberLen}
		for seq := range byte(2) { // records of epoch 0
			ack = append(append(ack, make([]byte, recordNumberLen-1)...), seq)
		}
		b := append(make([]byte, recordHeaderLen), ack...)
		putRecordHeader(b, typeACK, VersionDTLS12, 0, 9, nil, len(ack))
		p.deliver(victim, b)
		if !victim.out.outstanding() || !victim.out.unauthenticated {
			t.Errorf("%s: the ACK is of nothing", tc.why)
		}
		p.run()
		if !p.client.Established() || !p.server.Established() {
			t.Fatalf("%s: client %v, server %v", tc.why, p.client.Err(), p.server.Err())
		}
		p.exchange()
	}
}

// TestAckQueue is a script that checks when an ACK is sent.
func TestAckQueue(t *testing.T) {
	now, l := epoch, newRecordLayer(false)
	var q ackQueue
	want := func(why string, numbers ...uint64) {
		t.Helper()
		b, err := q.append(nil, 1000, &l, 0)
		var got []uint64
		for n := recordHeaderLen + 2; n < len(b); n += recordNumberLen {
			got = append(got, parseRecordNumber(b[n:]).seq)
		}
		if err != nil || !slices.Equal(got, numbers) {
			t.Errorf("%s: ACK of %d, want %d, %v", why, got, numbers, err)
		}
	}
	const timeout = 400 * time.Millisecond
	q.arm(now, true, timeout)
	want("nothing received")

	q.add(&recordHeader{epoch: 2, seq: 7})
	want("before arm")
	q.arm(now, false, timeout)
	want("delayed")
	q.add(&recordHeader{epoch: 2, seq: 3})
	q.arm(now.Add(timeout/8), false, timeout)
	if at := q.nextTimeout(); at != now.Add(timeout/4) {
		t.Errorf("delayed until %v", at)
	}
	q.advance(now.Add(timeout/4 - 1))
	want("too early")
	q.advance(now.Add(timeout / 4))
	want("in numerical order", 3, 7)
	want("once")
	if !q.nextTimeout().IsZero() {
		t.Error("a timer runs")
	}

	q.arm(now, true, timeout)
	want("nothing new")
	q.add(&recordHeader{epoch: 2, seq: 9})
	q.arm(now, true, timeout)
	if _, err := q.append(nil, recordHeaderLen+recordNumberLen, &l, 0); err != nil || q.state != ackReady {
		t.Error("sent without room")
	}
	want("the end of the handshake, and what may be lost", 3, 7, 9)
}
