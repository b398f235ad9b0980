package ice

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net/netip"
	"slices"
	"testing"
	"time"

	"purertc/stun"
)

// spedMessage returns a request with the attributes of SPED.
func spedMessage(t testing.TB, add func(w *stun.Builder)) stun.Message {
	t.Helper()
	w := stun.Build(nil, stun.BindingRequest, stun.TransactionID{1})
	if add != nil {
		add(&w)
	}
	m, err := stun.Parse(w.Finish())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// carriedBy returns the attributes of SPED in the next message of f.
func carriedBy(t testing.TB, f *carriedFlight, empty bool) (datagram, acks []byte) {
	t.Helper()
	m := spedMessage(t, func(w *stun.Builder) { f.appendTo(w, empty) })
	datagram, ok := m.Get(stun.AttrDTLSInSTUN)
	acks, both := m.Get(stun.AttrDTLSInSTUNAck)
	if ok != f.active() || both != f.active() {
		t.Fatalf("active %v, attributes %v and %v", f.active(), ok, both)
	}
	return datagram, acks
}

func sums(datagrams ...string) (list []byte) {
	for _, d := range datagrams {
		list = binary.BigEndian.AppendUint32(list, crc32.ChecksumIEEE([]byte(d)))
	}
	return list
}

// receiveAttributes gives f a message with these attributes; nil: without.
func receiveAttributes(t testing.TB, f *carriedFlight, datagram, acks []byte) []byte {
	return f.receive(spedMessage(t, func(w *stun.Builder) {
		if datagram != nil {
			w.Bytes(stun.AttrDTLSInSTUN, datagram)
		}
		if acks != nil {
			w.Bytes(stun.AttrDTLSInSTUNAck, acks)
		}
	}))
}

// Messages carry the datagrams of a flight in turn, until they are acknowledged.
func TestCarriedInTurn(t *testing.T) {
	f := &carriedFlight{state: spedActive}
	for _, d := range []string{"\x16one", "\x16two", "\x16three"} {
		f.carry([]byte(d))
	}
	expect := func(empty bool, want string) {
		t.Helper()
		if got, _ := carriedBy(t, f, empty); string(got) != want {
			t.Errorf("carried %q, want %q", got, want)
		}
	}
	expect(false, "\x16one")
	expect(true, "") // the retransmission of a check
	receiveAttributes(t, f, nil, sums("\x16two", "\x16one", "\x16none"))
	expect(false, "\x16two") // it was not sent before, so it cannot have been acknowledged
	expect(false, "\x16three")
	expect(false, "\x16two")
	receiveAttributes(t, f, nil, append(sums("\x16three"), 1, 2, 3)) // the last bytes are no acknowledgement
	expect(false, "\x16two")
	f.drop()
	expect(false, "")
	f.carry([]byte("\x16four"))
	if !f.unsent() {
		t.Error("the new flight counts as sent")
	}
	if b, ok := f.takeUnsent(); !ok || string(b) != "\x16four" || f.unsent() {
		t.Errorf("unsent: %q, %v", b, ok)
	}
}

// A message has room for a limited number of acknowledgements, in order of receipt. A
// repeated datagram is acknowledged and not handled again, and a value that is no DTLS
// is dropped.
func TestCarriedAcknowledgements(t *testing.T) {
	f := &carriedFlight{state: spedSilent}
	if got := receiveAttributes(t, f, []byte("\x16one"), nil); string(got) != "\x16one" || !f.used {
		t.Errorf("received %q, used %v", got, f.used)
	}
	for _, d := range []string{"\x16one", "", "\x00stun", "\x80rtp", "\x13"} {
		if got := receiveAttributes(t, f, []byte(d), []byte{}); got != nil {
			t.Errorf("%q is handled", got)
		}
	}
	if _, acks := carriedBy(t, f, false); !slices.Equal(acks, sums("\x16one")) {
		t.Errorf("acknowledgements %x", acks)
	}
	for i := range 100 {
		receiveAttributes(t, f, fmt.Appendf(nil, "\x16%d", i), nil)
	}
	if _, acks := carriedBy(t, f, false); !slices.Equal(acks, sums("\x1696", "\x1697", "\x1698", "\x1699")) || f.count > maxFlightsReceived {
		t.Errorf("acknowledgements %x of %d datagrams", acks, f.count)
	}
	if got := receiveAttributes(t, f, []byte("\x1695"), nil); got != nil {
		t.Errorf("%q is handled twice", got)
	}
}

// Messages have the attributes while the remote agent has them, and until both
// handshakes are over.
func TestCarriedStates(t *testing.T) {
	a := NewAgent(Config{Rand: seeded(1)})
	f := &a.carried
	expect := func(what string, want spedState) {
		t.Helper()
		if f.state != want {
			t.Errorf("%s: state %d, want %d", what, f.state, want)
		}
		carriedBy(t, f, false)
	}
	receiveAttributes(t, f, []byte("\x16x"), nil)
	expect("the owner has not enabled SPED", spedOff)
	a.EnableSPED(false)
	expect("the remote agent is not known", spedSilent)
	receiveAttributes(t, f, nil, nil)
	expect("a message without attributes", spedSilent)
	a.EnableSPED(true)
	expect("a description announces SPED", spedActive)
	f.carry([]byte("\x16x"))
	receiveAttributes(t, f, nil, nil)
	if expect("the description was wrong", spedSilent); len(f.datagrams) > 0 {
		t.Error("the flight is kept")
	}
	receiveAttributes(t, f, nil, []byte{})
	expect("acknowledgements only", spedActive)
	a.HandshakeDone()
	expect("the local handshake is over", spedEnding)
	receiveAttributes(t, f, []byte("\x16y"), nil)
	expect("the remote handshake is not", spedEnding)
	receiveAttributes(t, f, []byte{}, nil)
	expect("both are over", spedOver)
	receiveAttributes(t, f, []byte("\x16z"), nil)
	expect("a late datagram", spedOver)
}

// spedWorld connects two agents of which b carries a flight of two datagrams.
func spedWorld(t *testing.T, tap func(w *world, p *peer, m stun.Message) bool) (w *world, a, b *peer) {
	w = newWorld(t, 1)
	a = w.peer("a", Config{Controlling: true}, "192.0.2.1:1000")
	b = w.peer("b", Config{}, "192.0.2.2:2000")
	w.tap = func(p *peer, _ Route, raw []byte) bool {
		m, err := stun.Parse(raw)
		return err != nil || tap(w, p, m)
	}
	for _, p := range []*peer{a, b} {
		p.EnableSPED(true)
	}
	w.connect(a, b)
	for _, d := range []string{"\x16one", "\x16two"} {
		b.CarryDatagram(w.now, []byte(d))
	}
	return w, a, b
}

// A whole flight arrives half a round trip after the checks begin.
func TestCarriedFlightArrivesAtOnce(t *testing.T) {
	w, a, b := spedWorld(t, func(*world, *peer, stun.Message) bool { return true })
	if !w.run(time.Second, func() bool { return len(a.data) == 2 }) || w.since() > w.delay {
		t.Errorf("%q after %v", a.data, w.since())
	}
	if !w.run(time.Second, both(a, b, StateCompleted)) || len(a.data) != 2 || !a.SPED() || !b.SPED() || len(b.carried.datagrams) > 0 {
		t.Errorf("%q; SPED %v and %v; %d datagrams are not acknowledged", a.data, a.SPED(), b.SPED(), len(b.carried.datagrams))
	}
}

// A path that does not carry datagrams as long as a flight's still works.
func TestCarriedFlightIsTooLong(t *testing.T) {
	w, a, b := spedWorld(t, func(_ *world, _ *peer, m stun.Message) bool {
		datagram, _ := m.Get(stun.AttrDTLSInSTUN)
		return len(datagram) == 0
	})
	if !w.run(2*time.Second, both(a, b, StateCompleted)) {
		t.Fatalf("a %v, b %v", a.State(), b.State())
	}
	if len(a.data) > 0 || a.SPED() || b.SPED() {
		t.Errorf("%q; SPED %v and %v", a.data, a.SPED(), b.SPED())
	}
}

// The additional checks for a flight are limited, whatever the flight and the pairs.
func TestPushesAreLimited(t *testing.T) {
	w := newWorld(t, 1)
	a := w.peer("a", Config{}, "192.0.2.1:1000")
	a.EnableSPED(true)
	a.SetRemote(w.now, "them", "password", false)
	for i := range 20 {
		a.AddRemote(w.now, Candidate{Foundation: "1", Component: 1, Transport: "udp", Priority: 1, Addr: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.9"), uint16(1000+i))})
	}
	w.run(200*time.Millisecond, nil)
	before := a.sent
	for range 2 * maxCarried {
		a.CarryDatagram(w.now, make([]byte, 1000))
	}
	w.settle()
	if n := a.sent - before; n == 0 || n > maxPushes || len(a.carried.datagrams) != maxCarried || a.CarryLimit(1200) != 0 {
		t.Errorf("%d additional checks, %d datagrams", n, len(a.carried.datagrams))
	}
}

// A check that does not authenticate changes nothing, and its datagram is not returned.
func TestForgedFlight(t *testing.T) {
	now := time.Unix(1000, 0)
	local := netip.MustParseAddrPort("192.0.2.1:1000")
	a := NewAgent(Config{Ufrag: "usus", Pwd: ourPwd, Rand: seeded(1)})
	a.EnableSPED(true)
	if err := a.AddLocal(now, Local{Addr: local}); err != nil {
		t.Fatal(err)
	}
	a.SetRemote(now, "them", "x", false)
	r := Route{Local: local.Addr(), Remote: netip.MustParseAddrPort("192.0.2.66:666")}
	carry := func(w *stun.Builder) { w.Bytes(stun.AttrDTLSInSTUN, []byte("\x16hello")) }
	before := a.carried
	for _, b := range [][]byte{check("usus:them", "another password", carry), check("other:them", ourPwd, carry)} {
		if !CarriesDTLS(b) {
			t.Error("the reader takes the check for a cheap one")
		}
		if payload, ok := a.HandleDatagram(now, r, b); payload != nil || ok {
			t.Errorf("returned %q, %v", payload, ok)
		}
	}
	w := stun.Build(nil, stun.BindingSuccess, stun.TransactionID{9})
	carry(&w)
	w.Integrity(stun.NewIntegrity([]byte("x")))
	if payload, ok := a.HandleDatagram(now, r, w.Finish()); payload != nil || ok {
		t.Errorf("a response without request: %q, %v", payload, ok)
	}
	if a.carried.count != before.count || a.carried.used || a.carrier != nil {
		t.Error("a forged check has changed the state")
	}
	if payload, ok := a.HandleDatagram(now, r, check("usus:them", ourPwd, carry)); string(payload) != "\x16hello" || !ok {
		t.Errorf("the authentic check: %q, %v", payload, ok)
	}
	if CarriesDTLS(check("usus:them", ourPwd, nil)) || CarriesDTLS([]byte("\x16hello")) {
		t.Error("other datagrams are taken for checks with a flight")
	}
}

// FuzzSPED gives a flight messages with any values of the two attributes.
func FuzzSPED(f *testing.F) {
	f.Add([]byte("\x16hello"), sums("\x16one"), uint8(3))
	f.Add([]byte{}, []byte{1, 2, 3}, uint8(1))
	f.Add([]byte("\x40x"), make([]byte, 400), uint8(7))
	f.Fuzz(func(t *testing.T, datagram, acks []byte, have uint8) {
		if len(datagram) > 60000 || len(acks) > 5000 {
			return
		}
		c := &carriedFlight{state: spedActive}
		c.carry([]byte("\x16one"))
		c.carry([]byte("\x16two"))
		c.pick()
		if have&1 == 0 {
			datagram = nil
		}
		if have&2 == 0 {
			acks = nil
		}
		for range 2 + have%16 {
			if b := receiveAttributes(t, c, datagram, acks); len(b) > 0 && (b[0] < 20 || b[0] > 63) {
				t.Errorf("%x is no DTLS", b)
			}
			if c.count > maxFlightsReceived || len(c.datagrams) > 2 {
				t.Errorf("%d received, %d to send", c.count, len(c.datagrams))
			}
			if _, acks := carriedBy(t, c, false); len(acks) > 4*maxFlightAcks {
				t.Errorf("%d bytes of acknowledgements", len(acks))
			}
		}
	})
}

// A flight arrives over a TCP connection with the first check, too.
func TestCarriedOverTCP(t *testing.T) {
	w := newWorld(t, 1)
	a := &peer{Agent: NewAgent(Config{Controlling: true, Rand: seeded(1)}), w: w, name: "a", socks: map[Sock]netip.AddrPort{}}
	b := &peer{Agent: NewAgent(Config{Rand: seeded(2)}), w: w, name: "b", socks: map[Sock]netip.AddrPort{}}
	w.peers = []*peer{a, b}
	a.addTCP(TCPActive, "192.0.2.1:0")
	b.addTCP(TCPPassive, "192.0.2.2:2000")
	for _, p := range w.peers {
		p.EnableSPED(true)
	}
	w.connect(a, b)
	for _, d := range []string{"\x16one", "\x16two"} {
		a.CarryDatagram(w.now, []byte(d))
	}
	if !w.run(time.Second, both(a, b, StateCompleted)) || len(b.data) != 2 || !a.SPED() || !b.SPED() {
		t.Errorf("a %v, b %v, received %q", a.State(), b.State(), b.data)
	}
}

// A remote agent that sends any number of requests, and never acknowledges, gets a
// limited number of long responses.
func TestCarryingResponsesAreLimited(t *testing.T) {
	f := &carriedFlight{state: spedActive}
	f.carry([]byte("\x16one"))
	first := stun.TransactionID{1}
	if !f.mayCarry(first) || f.mayCarry(first) {
		t.Error("not exactly the first response to a request carries a datagram")
	}
	n := 1
	for i := range 1000 {
		if i%10 == 0 { // the remote agent makes the flight begin again
			f.drop()
			f.carry([]byte("\x16one"))
		}
		if f.mayCarry(stun.TransactionID{2, byte(i), byte(i >> 8)}) {
			n++
		}
	}
	if n != maxCarryingResponses {
		t.Errorf("%d responses carry a datagram, want %d", n, maxCarryingResponses)
	}
}
