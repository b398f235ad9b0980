package datachannel

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"purertc/sctp"
)

// A testRand is a seeded io.Reader.
type testRand struct{ *rand.Rand }

func (r testRand) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return len(b), nil
}

// A world is two sessions with a link between them, in virtual time.
type world struct {
	t      testing.TB
	now    time.Time
	rng    *rand.Rand
	assoc  [2]*sctp.Association
	ends   [2]*Session
	flight []flying
	loss   float64
	events [2][]Event

	alter func(to int, pkt []byte) []byte // changes a packet before it is delivered; nil: packets are delivered unchanged

	// These fields are for forged requests, see newResetWorld.
	head             []byte
	request, lastTSN uint32
}

type flying struct {
	at  time.Time
	to  int
	pkt []byte
}

func newWorld(t testing.TB, seed uint64) *world {
	w := &world{t: t, now: time.Unix(1e9, 0), rng: rand.New(rand.NewPCG(seed, 2))}
	for i := range w.ends {
		w.assoc[i] = sctp.NewAssociation(sctp.Config{Rand: testRand{w.rng}})
		w.ends[i] = NewSession(w.assoc[i], Config{})
	}
	return w
}

func (w *world) start() {
	for i := range w.ends {
		w.assoc[i].Connect(w.now)
		w.ends[i].Start(w.now, i == 0)
	}
	w.run(time.Second)
}

func (w *world) step(i int) {
	w.ends[i].Process(w.now)
	for {
		ev, ok := w.ends[i].NextEvent()
		if !ok {
			break
		}
		w.events[i] = append(w.events[i], ev)
	}
	for {
		pkt, ok := w.assoc[i].AppendPacket(w.now, nil, 1200)
		if !ok {
			return
		}
		if w.rng.Float64() >= w.loss {
			w.flight = append(w.flight, flying{w.now.Add(5 * time.Millisecond), 1 - i, pkt})
		}
	}
}

func (w *world) run(d time.Duration) {
	end := w.now.Add(d)
	for {
		w.step(0)
		w.step(1)
		next := end
		if len(w.flight) > 0 && w.flight[0].at.Before(next) {
			next = w.flight[0].at
		}
		for _, a := range w.assoc {
			if t := a.NextTimeout(); !t.IsZero() && t.Before(next) {
				next = t
			}
		}
		for _, e := range w.ends {
			if t := e.NextTimeout(); !t.IsZero() && t.Before(next) {
				next = t
			}
		}
		if !next.Before(end) {
			w.now = end
			return
		}
		if next.After(w.now) {
			w.now = next
		}
		for len(w.flight) > 0 && !w.flight[0].at.After(w.now) {
			f := w.flight[0]
			w.flight = w.flight[1:]
			if w.alter != nil {
				f.pkt = w.alter(f.to, f.pkt)
			}
			w.assoc[f.to].HandlePacket(w.now, f.pkt)
			w.ends[f.to].Process(w.now)
		}
		for i, a := range w.assoc {
			a.Advance(w.now)
			w.ends[i].Advance(w.now)
		}
	}
}

func (w *world) open(i int, p Params) *Channel {
	w.t.Helper()
	c, err := w.ends[i].Open(w.now, p)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// incoming lists the channels that the remote opened, in order.
func (w *world) incoming(i int) (cs []*Channel) {
	for _, ev := range w.events[i] {
		if ev.Kind == EventIncoming {
			cs = append(cs, ev.Channel)
		}
	}
	return cs
}

func reliable(label string) Params {
	return Params{Label: label, MaxRetransmits: -1, MaxPacketLifeTime: -1}
}

func (w *world) want(c *Channel, data string, text bool) {
	w.t.Helper()
	got, gotText, ok := c.Receive(w.now)
	if !ok || string(got) != data || gotText != text {
		w.t.Fatalf("Receive = %.40q text=%v ok=%v, want %.40q text=%v", got, gotText, ok, data, text)
	}
}

func TestOpenAndExchange(t *testing.T) {
	w := newWorld(t, 1)
	p := Params{Label: "héllo", Protocol: "p", Unordered: true, MaxRetransmits: 3, MaxPacketLifeTime: -1, Priority: 512}
	a := w.open(0, p)
	b := w.open(1, reliable(strings.Repeat("x", 65535)))
	w.start()
	if id, ok := a.ID(); !ok || id != 0 {
		t.Errorf("client's first id = %d, %v", id, ok)
	}
	if id, ok := b.ID(); !ok || id != 1 {
		t.Errorf("server's first id = %d, %v", id, ok)
	}
	if a.State() != StateOpen || len(w.incoming(1)) != 1 || len(w.incoming(0)) != 1 {
		t.Fatal("not open")
	}
	far := w.incoming(1)[0]
	p.ID = 0
	if far.Params() != p {
		t.Errorf("params = %+v", far.Params())
	}
	for _, m := range []struct {
		data string
		text bool
	}{{"text", true}, {"binary", false}, {"", true}, {"", false}, {strings.Repeat("y", 100000), false}} {
		if err := a.Send(w.now, []byte(m.data), m.text); err != nil {
			t.Fatal(err)
		}
		w.run(time.Second)
		w.want(far, m.data, m.text)
		if err := far.Send(w.now, []byte(m.data), m.text); err != nil {
			t.Fatal(err)
		}
		w.run(time.Second)
		w.want(a, m.data, m.text)
	}
	if n := a.BufferedAmount(); n != 0 {
		t.Errorf("BufferedAmount = %d", n)
	}
}

func TestNegotiated(t *testing.T) {
	w := newWorld(t, 2)
	p := reliable("n")
	p.Negotiated, p.ID = true, 1000
	a, b := w.open(0, p), w.open(1, p)
	if _, err := w.ends[0].Open(w.now, p); err != ErrIDInUse {
		t.Errorf("second Open: %v", err)
	}
	if err := a.Send(w.now, []byte("early"), true); err != ErrNotOpen {
		t.Errorf("Send before open: %v", err)
	}
	w.start()
	if err := a.Send(w.now, []byte("hi"), true); err != nil {
		t.Fatal(err)
	}
	w.run(time.Second)
	w.want(b, "hi", true)
	if len(w.incoming(1)) != 0 {
		t.Error("a negotiated channel was announced")
	}
}

func TestCloseDeliversAndFreesTheID(t *testing.T) {
	for seed := range uint64(10) {
		w := newWorld(t, seed)
		w.start()
		w.loss = 0.1
		for round := range 3 {
			a := w.open(0, reliable(fmt.Sprint("c", round)))
			id, _ := a.ID()
			if id != 0 {
				t.Fatalf("round %d: id %d", round, id)
			}
			for n := range 20 {
				a.Send(w.now, bytes.Repeat([]byte{byte(n)}, 2000), false)
			}
			a.Close(w.now)
			if a.State() != StateClosing {
				t.Fatalf("state %v", a.State())
			}
			w.run(20 * time.Second)
			in := w.incoming(1)
			if len(in) != round+1 {
				t.Fatalf("seed %d: %d channels announced in round %d", seed, len(in), round)
			}
			far := in[round]
			if a.State() != StateClosed || far.State() != StateClosed {
				t.Fatalf("seed %d: states %v, %v", seed, a.State(), far.State())
			}
			if far.Waiting() != 20 {
				t.Errorf("seed %d: %d messages of 20", seed, far.Waiting())
			}
			for range 20 {
				far.Receive(w.now)
			}
		}
		if len(w.ends[0].channels.ids())+len(w.ends[1].channels.ids()) != 0 {
			t.Error("channels are kept")
		}
	}
}

// closes runs the world until a channel is closed, for a minute at most.
func (w *world) closes(c *Channel) {
	for range 600 {
		if c.State() == StateClosed {
			return
		}
		w.run(100 * time.Millisecond)
	}
}

// An id is used again repeatedly while packets are lost: a channel may be opened, used
// and closed before the response to the reset of the previous channel has arrived.
// Nothing is lost, and the program gets all events in order.
func TestIDAgainWhilePacketsAreLost(t *testing.T) {
	for seed := range uint64(40) {
		w := newWorld(t, seed)
		w.start()
		w.loss = 0.15
		for round := range 30 {
			c := w.open(0, reliable(fmt.Sprint(round)))
			w.run(0)
			for k := range 3 {
				if err := c.Send(w.now, fmt.Append(nil, round, k), false); err != nil {
					t.Fatal(err)
				}
			}
			c.Close(w.now)
			w.closes(c)
			if c.State() != StateClosed {
				t.Fatalf("seed %d, round %d: %v after a minute", seed, round, c.State())
			}
			all := w.incoming(1)
			if len(all) != round+1 {
				t.Fatalf("seed %d, round %d: %d channels", seed, round, len(all))
			}
			far := all[round]
			var kinds []EventKind
			for _, ev := range w.events[1] {
				if ev.Channel == far {
					kinds = append(kinds, ev.Kind)
				}
			}
			if len(kinds) < 3 || kinds[0] != EventIncoming || kinds[1] != EventMessage {
				t.Fatalf("seed %d, round %d: events %v", seed, round, kinds)
			}
			for k := range 3 {
				w.want(far, fmt.Sprint(round, k), false)
			}
		}
	}
}

// Data that arrives on a negotiated id after the remote's stream reset belongs to the
// next channel with this id.
func TestNegotiatedIDAgain(t *testing.T) {
	w := newWorld(t, 1)
	w.start()
	p := reliable("")
	p.Negotiated, p.ID = true, 6
	x, y := w.open(0, p), w.open(1, p)
	w.run(time.Second)
	x.Close(w.now)
	// The loop ends with the last response, which is lost and requested a second time.
	for w.ends[0].channels.get(6) != nil {
		w.run(time.Millisecond)
	}
	w.flight = nil
	x = w.open(0, p)
	if err := x.Send(w.now, []byte("new"), false); err != nil {
		t.Fatal(err)
	}
	w.run(10 * time.Millisecond)
	if y.State() != StateClosing || y.Waiting() != 0 {
		t.Errorf("the first channel is %v with %d messages of the second", y.State(), y.Waiting())
	}
	w.run(5 * time.Second)
	if y.State() != StateClosed {
		t.Errorf("%v", y.State())
	}
	w.want(w.open(1, p), "new", false)
}

// A negotiated channel that only one end has is closed like any other channel. The
// other end may create it at any time. Messages that are sent after it is open arrive.
func TestNegotiatedAtOneEnd(t *testing.T) {
	w := newWorld(t, 1)
	w.start()
	p := reliable("")
	p.Negotiated, p.ID = true, 6
	for round := range 3 {
		c := w.open(0, p)
		c.Close(w.now)
		for range 20 {
			if w.ends[1].isAnswering(6) {
				break
			}
			w.run(10 * time.Millisecond)
		}
		far := w.open(1, p)
		if far.State() != StateConnecting {
			t.Errorf("round %d: %v while the stream is being reset", round, far.State())
		}
		w.run(time.Second)
		if c.State() != StateClosed || far.State() != StateOpen {
			t.Fatalf("round %d: %v, and %v at the other end", round, c.State(), far.State())
		}
		near := w.open(0, p)
		if err := far.Send(w.now, []byte("x"), false); err != nil {
			t.Fatal(err)
		}
		w.run(time.Second)
		w.want(near, "x", false)
		near.Close(w.now)
		w.run(time.Second)
		if near.State() != StateClosed || far.State() != StateClosed {
			t.Fatalf("round %d: %v and %v", round, near.State(), far.State())
		}
	}
	sent := w.assoc[0].Stats().PacketsSent + w.assoc[1].Stats().PacketsSent
	w.run(10 * time.Second) // the number of answered resets is limited
	if n := w.assoc[0].Stats().PacketsSent + w.assoc[1].Stats().PacketsSent - sent; n > 20 {
		t.Errorf("%d packets while nothing happens", n)
	}
}

// A reset request that lists no streams resets all streams (RFC 6525 §4.1), including
// streams on which nothing has arrived.
func TestAllStreamsReset(t *testing.T) {
	w := newWorld(t, 1)
	w.start()
	p := reliable("")
	p.Negotiated, p.ID = true, 6
	quiet, inBand := w.open(0, p), w.open(0, reliable("x"))
	w.run(time.Second)
	w.ends[0].handleEvent(w.now, sctp.Event{Kind: sctp.EventStreamsReset})
	if quiet.State() != StateClosing || inBand.State() != StateClosing {
		t.Errorf("%v and %v", quiet.State(), inBand.State())
	}
	w.run(time.Second)
	if quiet.State() != StateClosed || inBand.State() != StateClosed {
		t.Errorf("%v and %v after our own resets", quiet.State(), inBand.State())
	}
}

// The remote may open a channel in band on an id while the reset of that stream, which
// had no channel here, is not confirmed yet.
func TestOpenWhileAnswering(t *testing.T) {
	for seed := range uint64(40) {
		w := newWorld(t, seed)
		w.start()
		w.loss = 0.15
		for round := range 10 {
			n := reliable("")
			n.Negotiated, n.ID = true, uint16(w.ends[0].firstID())
			for _, p := range []Params{n, reliable("in band")} {
				c := w.open(0, p)
				w.run(0)
				if err := c.Send(w.now, []byte("x"), false); err != nil {
					t.Fatal(err)
				}
				c.Close(w.now)
				w.closes(c)
				if c.State() != StateClosed || c.id != n.ID {
					t.Fatalf("seed %d, round %d: channel %d is %v after a minute", seed, round, c.id, c.State())
				}
			}
			all := w.incoming(1)
			if len(all) != round+1 {
				t.Fatalf("seed %d, round %d: %d channels", seed, round, len(all))
			}
			w.want(all[round], "x", false)
		}
	}
}

func TestTenThousandChannels(t *testing.T) {
	const n = 10000
	w := newWorld(t, 3)
	cs := make([]*Channel, n)
	for i := range cs {
		cs[i] = w.open(0, reliable("many"))
	}
	w.start()
	w.run(10 * time.Second)
	in := w.incoming(1)
	if len(in) != n {
		t.Fatalf("%d channels arrived", len(in))
	}
	for i, c := range cs {
		if err := c.Send(w.now, []byte{byte(i), byte(i >> 8)}, false); err != nil {
			t.Fatal(err)
		}
	}
	got := 0
	for range 10 { // if all were unread at once, they would exceed the receive window
		w.run(time.Second)
		for _, c := range in {
			if c.Waiting() > 0 {
				id, _ := c.ID()
				w.want(c, string([]byte{byte(id / 2), byte(id / 2 >> 8)}), false)
				got++
			}
		}
	}
	if got != n {
		t.Fatalf("%d messages of %d", got, n)
	}
	for _, c := range cs {
		c.Close(w.now)
	}
	w.run(120 * time.Second)
	for i, c := range cs {
		if c.State() != StateClosed || in[i].State() != StateClosed {
			t.Fatalf("channel %d: %v, %v", i, c.State(), in[i].State())
		}
	}
}

func TestUnreadUnreliableChannelDropsOldest(t *testing.T) {
	w := newWorld(t, 4)
	p := reliable("u")
	p.Unordered, p.MaxRetransmits = true, 0
	a, r := w.open(0, p), w.open(0, reliable("r"))
	w.start()
	for n := range 3000 {
		a.Send(w.now, bytes.Repeat([]byte{byte(n), byte(n >> 8)}, 500), false)
		w.run(2 * time.Millisecond)
	}
	w.run(time.Second)
	far := w.incoming(1)[0]
	if n := far.Waiting(); n > maxUnreliableMessages || n < 900 {
		t.Errorf("%d wait", n)
	}
	m, _, _ := far.Receive(w.now)
	if n := int(m[0]) | int(m[1])<<8; n != 3000-1024 {
		t.Errorf("oldest is %d", n)
	}
	r.Send(w.now, []byte("not stalled"), true)
	w.run(time.Second)
	w.want(w.incoming(1)[1], "not stalled", true)
}

func TestUnreadReliableChannelClosesTheWindow(t *testing.T) {
	w := newWorld(t, 5)
	a := w.open(0, reliable("r"))
	w.start()
	for range 300 {
		a.Send(w.now, make([]byte, 10000), false)
	}
	w.run(10 * time.Second)
	far := w.incoming(1)[0]
	if n := far.Waiting(); n == 0 || n > 150 {
		t.Fatalf("%d wait", n)
	}
	count := 0
	for range 400 {
		for {
			if _, _, ok := far.Receive(w.now); !ok {
				break
			}
			count++
		}
		w.run(50 * time.Millisecond)
	}
	if count != 300 {
		t.Errorf("%d of 300", count)
	}
}

func TestEndsWithTheAssociation(t *testing.T) {
	w := newWorld(t, 6)
	a := w.open(0, reliable("a"))
	w.start()
	w.assoc[1].Abort(w.now, "bye")
	w.run(time.Second)
	if a.State() != StateClosed || a.Err() == nil {
		t.Errorf("state %v, err %v", a.State(), a.Err())
	}
	if _, err := w.ends[0].Open(w.now, reliable("b")); err != ErrNotOpen {
		t.Errorf("Open: %v", err)
	}
}

func TestOpenOnTakenOrForeignID(t *testing.T) {
	for _, negotiated := range []bool{true, false} {
		w := newWorld(t, 7)
		id := uint16(1) // an id that the local end may choose
		var c *Channel
		if negotiated {
			p := reliable("n")
			p.Negotiated, p.ID = true, 4
			c, id = w.open(1, p), 4
		}
		w.start()
		p := reliable("bad")
		p.Priority = 256
		if err := w.assoc[0].Send(w.now, sctp.Message{Stream: id, PPID: ppidDCEP, Data: appendOpen(nil, &p)}, sctp.SendOptions{}); err != nil {
			t.Fatal(err)
		}
		w.run(time.Second)
		if len(w.incoming(1)) != 0 {
			t.Error("announced")
		}
		if negotiated && c.State() != StateClosed { // the other end answers the reset without having a channel
			t.Errorf("state %v", c.State())
		}
	}
}

// A message with an unknown PPID closes the channel (RFC 8831 §6.6). Earlier messages
// can still be read.
func TestUnknownPPID(t *testing.T) {
	w := newWorld(t, 1)
	w.start()
	x := w.open(0, reliable("x"))
	w.run(time.Second)
	y := w.incoming(1)[0]
	x.Send(w.now, []byte("before"), false)
	w.sendRaw(x.id, ppidBinaryPartial, []byte("a piece, "))
	w.sendRaw(x.id, 99, []byte("?"))
	w.sendRaw(x.id, ppidBinary, []byte("the last"))
	w.run(time.Second)
	if y.Waiting() != 1 {
		t.Errorf("%d messages", y.Waiting())
	}
	if x.State() != StateClosed || y.State() != StateClosed || y.Err() != ErrProtocol {
		t.Errorf("%v and %v, %v", x.State(), y.State(), y.Err())
	}
	w.want(y, "before", false)
}

func TestEarlyDataReachesItsChannel(t *testing.T) {
	w := newWorld(t, 8)
	w.start()
	send := func(ppid uint32, data []byte) {
		t.Helper()
		if err := w.assoc[0].Send(w.now, sctp.Message{Stream: 2, PPID: ppid, Data: data}, sctp.SendOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	send(ppidString, []byte("before"))
	send(ppidStringEmpty, []byte{0})
	w.run(time.Second)
	p := reliable("late")
	send(ppidDCEP, appendOpen(nil, &p))
	send(ppidBinaryPartial, []byte("a"))
	send(ppidBinary, []byte("b"))
	w.run(time.Second)
	c := w.incoming(1)[0]
	w.want(c, "before", true)
	w.want(c, "", true)
	w.want(c, "ab", false)
	if s := w.ends[1]; s.earlyBytes != 0 || s.earlyMessages != 0 || s.unreliableBytes != 0 {
		t.Error("early messages stay counted")
	}
}

// A negotiated channel that is opened late gets the earlier messages for which there
// was room, and has no gap: if a message was dropped, a reliable channel is closed
// with the reason.
func TestLateChannel(t *testing.T) {
	for _, reliably := range []bool{true, false} {
		w := newWorld(t, 9)
		w.start()
		p := reliable("late")
		p.Negotiated, p.ID = true, 4
		if !reliably {
			p.MaxRetransmits = 5
		}
		x := w.open(0, p)
		w.run(100 * time.Millisecond)
		const size, sent = 3000, 100
		for i := range sent {
			x.Send(w.now, append(make([]byte, size-1), byte(i)), false)
		}
		w.run(time.Second)
		x.Send(w.now, []byte("there would be room for this"), false)
		w.run(time.Second)
		y := w.open(1, p)
		x.Send(w.now, []byte("the last"), false)
		w.run(time.Second)
		for i := range maxEarlyBytes / size {
			if b, _, ok := y.Receive(w.now); !ok || len(b) != size || int(b[size-1]) != i {
				t.Fatalf("message %d: %d bytes, %t", i, len(b), ok)
			}
		}
		if reliably {
			if y.Waiting() != 0 || x.State() != StateClosed || y.State() != StateClosed || y.Err() != ErrLate {
				t.Errorf("%d messages more, %v and %v, %v", y.Waiting(), x.State(), y.State(), y.Err())
			}
		} else {
			w.want(y, "the last", false)
			if y.State() != StateOpen {
				t.Errorf("unreliable: %v, %v", y.State(), y.Err())
			}
		}
		if s := w.ends[1]; s.earlyBytes != 0 || s.earlyMessages != 0 || len(s.early) != 0 {
			t.Error("early messages stay counted")
		}
	}
}

func TestParseOpen(t *testing.T) {
	p := Params{Label: "label", Protocol: "protocol", Unordered: true, MaxRetransmits: -1, MaxPacketLifeTime: 77, Priority: 1024}
	b := appendOpen(nil, &p)
	got, err := parseOpen(b)
	if err != nil || got != p {
		t.Fatalf("%+v, %v", got, err)
	}
	// libdatachannel's priority 0 means normal.
	p.Priority = 0
	if got, err := parseOpen(appendOpen(nil, &p)); err != nil || got.Priority != normalPriority {
		t.Errorf("priority 0 is read as %d, %v", got.Priority, err)
	}
	for n := range b {
		if _, err := parseOpen(b[:n]); err == nil {
			t.Errorf("%d bytes of %d were accepted", n, len(b))
		}
	}
}

// Announced lengths in characters, as aiortc and werift send them, and additional
// bytes at the end.
func TestParseOpenLengths(t *testing.T) {
	open := func(label, protocol int, names string) []byte {
		b := appendOpen(nil, &Params{MaxRetransmits: -1, MaxPacketLifeTime: -1})
		binary.BigEndian.PutUint16(b[8:], uint16(label))
		binary.BigEndian.PutUint16(b[10:], uint16(protocol))
		return append(b, names...)
	}
	for _, tt := range []struct {
		why             string
		b               []byte
		label, protocol string
	}{
		{"bytes", open(3, 2, "üaä"), "üa", "ä"},
		{"code points", open(2, 3, "ü😀prö"), "ü😀", "prö"},
		{"UTF-16 code units", open(3, 3, "ü😀prö"), "ü😀", "prö"},
		{"no protocol", open(1, 0, "ü"), "ü", ""},
		{"no label", open(0, 1, "ü"), "", "ü"},
		{"no character ends there", open(1, 2, "😀b"), "\xf0", "\x9f\x98"},
		{"more bytes", open(1, 1, "abc"), "a", "b"},
		{"not UTF-8", open(1, 1, "a\xffc"), "a", "\xff"},
	} {
		p, err := parseOpen(tt.b)
		if err != nil || p.Label != tt.label || p.Protocol != tt.protocol {
			t.Errorf("%s: %q and %q, %v", tt.why, p.Label, p.Protocol, err)
		}
	}
	if p, err := parseOpen(open(40000, 1, strings.Repeat("ü", 40001))); err != nil || len(p.Label) != 40000 || len(p.Protocol) != 1 {
		t.Errorf("longer than a length can say: %d and %d bytes, %v", len(p.Label), len(p.Protocol), err)
	}
	if _, err := parseOpen(append(open(65535, 65535, strings.Repeat("x", 2*65535)), 'x')); err == nil {
		t.Error("a message longer than any was accepted")
	}
}

func FuzzParseOpen(f *testing.F) {
	p := reliable("x")
	f.Add(appendOpen(nil, &p))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parseOpen(b)
		if err != nil {
			return
		}
		again, err := parseOpen(appendOpen(nil, &p))
		if err != nil || again != p {
			t.Errorf("%+v, then %+v, %v", p, again, err)
		}
	})
}
