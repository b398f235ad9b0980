package dtls

import (
	"errors"
	"testing"
	"time"
)

// A testSender is a sender in a script. It sends in plaintext, and nothing receives
// its datagrams.
type testSender struct {
	sender
	t     *testing.T
	now   time.Time
	layer recordLayer
}

func newTestSender(t *testing.T) *testSender {
	return &testSender{
		sender: sender{firstTimeout: time.Second, maxTimeout: 3 * time.Second, acks: true},
		t:      t, now: epoch, layer: newRecordLayer(false),
	}
}

// flightOf begins a flight of messages with bodies of the given lengths.
func (s *testSender) flightOf(final bool, lengths ...int) {
	var messages []outMessage
	for i, n := range lengths {
		messages = append(messages, outMessage{content: typeHandshake, typ: typeCertificate, seq: s.nextSeq + uint16(i), body: make([]byte, n)})
	}
	s.begin(messages, final)
}

// want appends datagrams until there are no more, and compares their lengths.
func (s *testSender) want(why string, lengths ...int) {
	s.t.Helper()
	for i := 0; ; i++ {
		b, err := s.append(s.now, nil, 1000, &s.layer, 0)
		switch {
		case err != nil:
			s.t.Fatalf("%s: %v", why, err)
		case len(b) == 0 && i == len(lengths):
			return
		case i == len(lengths) || len(b) != lengths[i]:
			s.t.Fatalf("%s: datagram %d of %d bytes, want lengths %v", why, i, len(b), lengths)
		}
	}
}

// wantTimer checks when the timer runs out; 0: it does not run.
func (s *testSender) wantTimer(why string, after time.Duration) {
	s.t.Helper()
	if s.timed() != (after != 0) || after != 0 && s.retransmitAt.Sub(s.now) != after {
		s.t.Errorf("%s: timer runs: %t, %+v", why, s.timed(), s.flight)
	}
}

// elapse lets time pass and runs the timer.
func (s *testSender) elapse(d time.Duration) {
	s.now = s.now.Add(d)
	s.sender.advance(s.now)
}

// ack handles an ACK of records of epoch 0.
func (s *testSender) ack(authentic bool, records ...byte) (all bool) {
	var numbers []byte
	for _, n := range records {
		numbers = append(append(numbers, make([]byte, recordNumberLen-1)...), n)
	}
	return s.acknowledge(s.now, numbers, authentic)
}

const perRecord = recordHeaderLen + fragmentHeaderLen

func TestSenderRetransmission(t *testing.T) {
	s := newTestSender(t)
	s.want("nothing to send")
	s.flightOf(false, 100, 200)
	if s.started() || !s.outstanding() {
		t.Error("state before the first datagram")
	}
	flight := 300 + perRecord + fragmentHeaderLen // length of a datagram in which one record contains both messages
	s.want("a flight", flight)
	s.wantTimer("the first timeout", time.Second)
	s.elapse(time.Second - 1)
	s.want("before the timeout")
	s.elapse(1)
	s.want("after the timeout", flight)
	s.wantTimer("doubled", 2*time.Second)
	s.elapse(2 * time.Second)
	s.want("after the second timeout", flight)
	s.wantTimer("at most maxTimeout", 3*time.Second)

	s.setRTT(100 * time.Millisecond) // the first timeout is 200 ms, a fifth of the previous one
	s.wantTimer("scaled", 600*time.Millisecond)
	s.pathLost()
	s.want("on the new path", flight)
	s.wantTimer("on the new path", 200*time.Millisecond)

	s.repeat(s.now)
	s.want("the peer's flight has crossed this one")
	s.now = s.now.Add(repeatPause)
	s.repeat(s.now)
	s.want("the peer repeats its flight", flight)
	if s.retransmissions != 4 {
		t.Errorf("%d retransmissions", s.retransmissions)
	}
	s.arrived()
	s.wantTimer("after the answer", 0)
	if s.arrivedSize != flight || s.outstanding() {
		t.Errorf("size %d, outstanding %t", s.arrivedSize, s.outstanding())
	}

	s.flightOf(true, 12)
	s.want("a final flight", 12+perRecord)
	s.wantTimer("nothing answers it", 0)
	s.resend()
	s.want("resent", 12+perRecord)
	if s.nextSeq != 3 {
		t.Errorf("next message %d", s.nextSeq)
	}
}

func TestSenderShorterDatagrams(t *testing.T) {
	s := newTestSender(t)
	s.flightOf(false, 1500)
	long := []int{1000, 1500 - (1000 - perRecord) + perRecord}
	s.want("first", long...)
	s.elapse(time.Second)
	s.want("second", long...)
	s.elapse(2 * time.Second)
	rest := 1500 - 2*(shortDatagram-perRecord)
	s.want("third", shortDatagram, shortDatagram, rest+perRecord)
	s.arrived()
	if s.arrivedSize != shortDatagram {
		t.Errorf("datagrams of %d bytes arrived", s.arrivedSize)
	}
	s.flightOf(false, 600)
	s.want("the next flight is short, too", shortDatagram, 600-(shortDatagram-perRecord)+perRecord)
}

func TestSenderAcknowledge(t *testing.T) {
	s := newTestSender(t)
	s.flightOf(false, 900, 900) // records 0 and 1
	second := 900 - (1000 - 900 - perRecord - fragmentHeaderLen)
	s.want("first", 1000, second+perRecord)
	if s.ack(true, 7) {
		t.Error("an ACK of an unknown record acknowledges all")
	}
	s.want("after an ACK of an unknown record")
	if s.ack(true, 0) {
		t.Error("the first record is all")
	}
	s.want("what the ACK lacks", second+perRecord) // record 2
	if s.ack(true) {
		t.Error("an empty ACK acknowledges all")
	}
	s.want("an empty ACK that crossed the flight")
	if !s.ack(true, 2) {
		t.Error("not all is acknowledged")
	}

	// An ACK that an attacker may have sent avoids retransmissions until the timer
	// runs out.
	s.flightOf(false, 100) // record 3
	s.want("another flight", 100+perRecord)
	if s.ack(false, 3) {
		t.Error("an unauthenticated ACK ends a flight")
	}
	s.want("after an unauthenticated ACK")
	s.wantTimer("after an unauthenticated ACK", time.Second)
	s.elapse(time.Second)
	s.want("it is reverted", 100+perRecord)

	s.patient = true
	s.flightOf(false, 900, 900) // records 5 and 6
	s.want("a patient sender", 1000, second+perRecord)
	s.ack(true, 5)
	s.want("waits for the timer")
	s.elapse(time.Second)
	s.want("and sends what is missing", second+perRecord)
}

func TestSenderExhausted(t *testing.T) {
	s := newTestSender(t)
	s.layer.current.next = maxSequence + 1
	s.flightOf(false, 100)
	if _, err := s.append(s.now, nil, 1000, &s.layer, 0); !errors.Is(err, errExhausted) {
		t.Errorf("error %v", err)
	}
}
