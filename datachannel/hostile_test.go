package datachannel

import (
	"encoding/binary"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"purertc/sctp"
)

// sendRaw makes end 0 send a message that no Channel of this package sends.
func (w *world) sendRaw(stream uint16, ppid uint32, data []byte) {
	w.t.Helper()
	w.sendRawFrom(0, stream, ppid, data)
}

func (w *world) sendRawFrom(i int, stream uint16, ppid uint32, data []byte) {
	w.t.Helper()
	if err := w.assoc[i].Send(w.now, sctp.Message{Stream: stream, PPID: ppid, Data: data}, sctp.SendOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

// A message in pieces (RFC 8831 §6.6) that the program does not read keeps the
// receive window closed like any other message.
func TestPiecesKeepTheWindowClosed(t *testing.T) {
	w := newWorld(t, 20)
	c := w.open(0, reliable("r"))
	w.start()
	for range 10 {
		for range 20 {
			w.sendRaw(c.id, ppidBinaryPartial, make([]byte, 60000))
		}
		w.sendRaw(c.id, ppidBinary, []byte{1})
	}
	w.run(20 * time.Second)
	far := w.incoming(1)[0]
	if far.bytes > 4<<20 || w.assoc[1].Stats().ReceiveWindow != 0 {
		t.Errorf("%d bytes wait, the window is %d", far.bytes, w.assoc[1].Stats().ReceiveWindow)
	}
	got := 0
	for range 1000 {
		for {
			b, _, ok := far.Receive(w.now)
			if !ok {
				break
			}
			if got += len(b); len(b) != 20*60000+1 {
				t.Fatalf("a message of %d bytes", len(b))
			}
		}
		w.run(20 * time.Millisecond)
	}
	if got != 10*(20*60000+1) || far.pieces != 0 {
		t.Errorf("%d bytes came, %d stay counted", got, far.pieces)
	}
	if n := w.assoc[1].Stats().ReceiveWindow; n < 1<<20 {
		t.Errorf("a window of %d bytes in the end", n)
	}
}

// The memory for pieces of messages is bounded, however many channels there are.
func TestPiecesAreBounded(t *testing.T) {
	w := newWorld(t, 21)
	w.start()
	for range 30 {
		c := w.open(0, reliable("r"))
		w.run(50 * time.Millisecond)
		for range 20 {
			w.sendRaw(c.id, ppidStringPartial, make([]byte, 60000))
		}
		w.run(200 * time.Millisecond)
	}
	w.run(10 * time.Second)
	held, channels := 0, w.ends[1].channels.ids()
	for _, id := range channels {
		held += w.ends[1].channels.get(id).pieces
	}
	if m := w.assoc[1].Memory(); m.Used() < held || m.Used() > m.Limit() || held < m.Reserve()/4 {
		t.Errorf("%d bytes are charged, %d held", m.Used(), held)
	}
	failed := 0
	for _, c := range w.incoming(1) {
		if c.Err() == ErrMemory {
			failed++
		}
	}
	if failed == 0 {
		t.Error("no channel failed")
	}
	w.ends[1].closeAll(w.now, nil)
	w.wantUncharged(1)
}

// wantUncharged checks that nothing is charged for the channels of an end once their
// events are taken.
func (w *world) wantUncharged(i int) {
	w.t.Helper()
	for _, ok := w.ends[i].NextEvent(); ok; _, ok = w.ends[i].NextEvent() {
	}
	if n := w.assoc[i].Memory().Above(); n != 0 {
		w.t.Errorf("%d bytes stay charged", n)
	}
}

// A message that exceeds the local limit closes its channel and nothing else, whether
// it arrives in pieces or whole. A label may be longer than the limit.
func TestTooLongMessages(t *testing.T) {
	w := newWorld(t, 24)
	w.ends[1].maxMessage = 1000
	w.start()
	before := w.assoc[1].Stats().ReceiveWindow
	good := w.open(0, reliable(strings.Repeat("l", 5000)))
	for name, send := range map[string]func(id uint16){
		"whole": func(id uint16) { w.sendRaw(id, ppidString, make([]byte, 1001)) },
		"in pieces": func(id uint16) {
			w.sendRaw(id, ppidBinaryPartial, make([]byte, 600))
			w.sendRaw(id, ppidBinaryPartial, make([]byte, 600))
		},
		"in pieces, the last": func(id uint16) {
			w.sendRaw(id, ppidBinaryPartial, make([]byte, 600))
			w.sendRaw(id, ppidBinary, make([]byte, 401))
		},
	} {
		near := w.open(0, reliable(name))
		w.run(time.Second)
		far := w.ends[1].channels.get(near.id)
		w.sendRaw(near.id, ppidBinary, make([]byte, 1000))
		w.sendRaw(near.id, ppidBinaryPartial, make([]byte, 500))
		w.sendRaw(near.id, ppidBinary, make([]byte, 500))
		w.run(time.Second)
		if far.State() != StateOpen || far.Waiting() != 2 {
			t.Errorf("%s: %v with %d messages of full length", name, far.State(), far.Waiting())
		}
		send(near.id)
		w.run(time.Second)
		if near.State() != StateClosed || far.State() != StateClosed || far.Err() != ErrProtocol || far.Waiting() != 2 {
			t.Errorf("%s: %v and %v, %v, %d messages", name, near.State(), far.State(), far.Err(), far.Waiting())
		}
		drain(w, far)
	}
	w.sendRaw(w.open(0, reliable("x")).id+2, ppidBinary, make([]byte, 1001)) // this message arrives before its channel is opened
	w.run(time.Second)
	if w.ends[1].earlyBytes != 0 || w.assoc[1].Stats().ReceiveWindow < before {
		t.Errorf("%d bytes stay counted, the window is %d of %d", w.ends[1].earlyBytes, w.assoc[1].Stats().ReceiveWindow, before)
	}
	if far := w.ends[1].channels.get(good.id); good.State() != StateOpen || far.State() != StateOpen {
		t.Errorf("another channel is %v and %v", good.State(), far.State())
	}
}

// Short messages are charged with their overhead, on all unreliable channels together.
func TestUnreadShortMessagesAreBounded(t *testing.T) {
	w := newWorld(t, 22)
	w.start()
	p := reliable("u")
	p.MaxRetransmits = 10
	most := w.assoc[1].Memory().Reserve() / 4 / messageOverhead
	for range most/maxUnreliableMessages + 20 {
		c := w.open(0, p)
		w.run(20 * time.Millisecond)
		for range maxUnreliableMessages {
			c.Send(w.now, nil, false)
		}
		w.run(100 * time.Millisecond)
	}
	w.run(time.Second)
	waiting := 0
	for _, c := range w.incoming(1) {
		waiting += c.Waiting()
	}
	if waiting > most || waiting < most*9/10 {
		t.Errorf("%d wait, at most %d", waiting, most)
	}
	for _, c := range w.incoming(1) {
		drain(w, c)
	}
	if n := w.ends[1].unreliableBytes; n != 0 {
		t.Errorf("%d bytes stay counted", n)
	}
}

func drain(w *world, c *Channel) {
	for ok := true; ok; {
		_, _, ok = c.Receive(w.now)
	}
}

// The total length of the labels and protocols of the remote's channels is bounded. A
// closed channel makes room for another one.
func TestNamesAreBounded(t *testing.T) {
	w := newWorld(t, 23)
	w.start()
	p := reliable(strings.Repeat("l", 65535))
	p.Protocol = strings.Repeat("p", 65535)
	most := w.assoc[1].Memory().Reserve() / 2 / (channelOverhead + 2*65535)
	var cs []*Channel
	for range most + 10 {
		cs = append(cs, w.open(0, p))
		w.run(100 * time.Millisecond)
	}
	if n := len(w.incoming(1)); n > most || n < most-1 {
		t.Errorf("%d channels, not %d", n, most)
	}
	opened := len(w.incoming(1))
	for i, c := range cs {
		if want := i < opened; (c.State() == StateOpen) != want {
			t.Errorf("channel %d is %v", i, c.State())
		}
		c.Close(w.now)
	}
	w.run(time.Second)
	w.wantUncharged(1)
	w.open(0, p)
	w.run(time.Second)
	if n := len(w.incoming(1)); n != opened+1 {
		t.Errorf("%d channels in the end", n)
	}
}

// Channels of the remote take no more memory than is charged for them, and channels
// beyond the limit are reset.
func TestChannelsAreCharged(t *testing.T) {
	w := newWorld(t, 25)
	w.start()
	before := heap()
	near := openMany(w, 32766)
	w.run(5 * time.Second)
	grown := heap() - before
	m, closed := w.assoc[1].Memory(), 0
	for _, c := range near {
		if c.State() == StateClosed {
			closed++
		}
	}
	// The heap also contains the other end of each channel, and the packets in flight.
	t.Logf("%d channels of %d, %d bytes kept by both ends, %d charged, at most %d", w.ends[1].channels.len(), len(near), grown, m.Used(), m.Limit())
	if m.Used() > m.Limit() || closed == 0 || closed+w.ends[1].channels.len() != len(near) {
		t.Errorf("%d channels were refused, %d are open", closed, w.ends[1].channels.len())
	}
	runtime.KeepAlive(w)
}

func heap() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// openMany opens channels of end 0 without names.
func openMany(w *world, n int) (cs []*Channel) {
	for i := range n {
		cs = append(cs, w.open(0, reliable("")))
		if i%500 == 0 {
			w.run(20 * time.Millisecond)
		}
	}
	return cs
}

// Config.MaxChannels limits the channels of both ends together.
func TestMaxChannels(t *testing.T) {
	w := newWorld(t, 26)
	w.ends[1] = NewSession(w.assoc[1], Config{MaxChannels: 10})
	for range 4 {
		w.open(1, reliable("ours"))
	}
	w.start()
	near := openMany(w, 8)
	w.run(time.Second)
	open := 0
	for _, c := range near {
		if c.State() == StateOpen {
			open++
		}
	}
	if open != 6 || len(w.incoming(1)) != 6 {
		t.Errorf("%d channels are open, %d were announced", open, len(w.incoming(1)))
	}
	if _, err := w.ends[1].Open(w.now, reliable("one more")); err != ErrTooMany {
		t.Errorf("Open: %v", err)
	}
	near[0].Close(w.now)
	w.run(time.Second)
	if _, err := w.ends[1].Open(w.now, reliable("one more")); err != nil {
		t.Errorf("Open after a close: %v", err)
	}
}

// A channel that the owner retains for its program stays charged after it has ended.
func TestRetainedChannelsStayCharged(t *testing.T) {
	w := newWorld(t, 27)
	w.start()
	c := w.open(0, reliable(strings.Repeat("x", 5000)))
	w.run(time.Second)
	far := w.incoming(1)[0]
	far.Retain()
	c.Close(w.now)
	w.run(time.Second)
	if n := w.assoc[1].Memory().Used(); far.State() != StateClosed || n < 5000+channelOverhead {
		t.Errorf("%v, %d bytes are charged", far.State(), n)
	}
	far.Free()
	w.wantUncharged(1)
}

// If early messages arrive on more streams than are kept, a reliable channel on one of
// the other streams is closed with the reason, until the stream is reset.
func TestEarlyOnTooManyStreams(t *testing.T) {
	w := newWorld(t, 31)
	w.start()
	for id := range uint16(maxEarlyMessages + 1) {
		w.sendRaw(id*2+1, ppidBinary, []byte{1})
	}
	w.run(time.Second)
	late := func(id uint16) *Channel {
		p := reliable("late")
		p.Negotiated, p.ID = true, id
		c := w.open(1, p)
		w.run(time.Second)
		return c
	}
	if c := late(1); c.State() != StateOpen || c.Waiting() != 1 {
		t.Errorf("%v with %d messages, %v", c.State(), c.Waiting(), c.Err())
	}
	if c := late(2*maxEarlyMessages + 1); c.Waiting() != 0 || c.Err() != ErrLate {
		t.Errorf("%v with %d messages, %v", c.State(), c.Waiting(), c.Err())
	}
	if c := late(2*maxEarlyMessages + 1); c.State() != StateOpen {
		t.Errorf("after a reset: %v, %v", c.State(), c.Err())
	}
}

// resetAll makes end 0 send requests to reset all its streams (RFC 6525 §4.1) to end
// 1, one in each packet. It returns the number of bytes sent.
func (w *world) resetAll(times int) (size int) {
	w.t.Helper()
	for range times {
		p := append(append([]byte{}, w.head...), 0, 0, 0, 0, 130, 0, 0, 20, 0, 13, 0, 16)
		p = binary.BigEndian.AppendUint32(p, w.request)
		p = append(p, 0, 0, 0, 0)
		p = binary.BigEndian.AppendUint32(p, w.lastTSN)
		w.request++
		w.assoc[1].HandlePacket(w.now, p)
		w.ends[1].Process(w.now)
		size += len(p)
	}
	return size
}

// newResetWorld returns a world in which end 1 has many channels of end 0, and which
// can forge requests of end 0.
func newResetWorld(t testing.TB, channels int) *world {
	w := newWorld(t, 1)
	for i := range w.ends {
		w.assoc[i].Connect(w.now)
		w.ends[i].Start(w.now, i == 0)
	}
	w.step(0)
	w.request = binary.BigEndian.Uint32(w.flight[0].pkt[12+4+12:]) // the initial TSN of end 0
	w.run(time.Second)
	cs := openMany(w, channels)
	w.run(10 * time.Second)
	cs[0].Send(w.now, []byte("x"), false)
	w.flight = nil
	w.step(0)
	w.head, w.lastTSN = w.flight[0].pkt[:8], binary.BigEndian.Uint32(w.flight[0].pkt[16:])
	for b := w.flight[0].pkt[12:]; b[0] != 64; { // the chunk follows a SACK
		n := int(binary.BigEndian.Uint16(b[2:]))
		b = b[(n+3)&^3:]
		w.lastTSN = binary.BigEndian.Uint32(b[4:])
	}
	w.run(time.Second)
	return w
}

// The cost of a reset of all streams is in proportion to the channels opened since the
// last one, and the reset closes every channel.
func TestResetAllIsBounded(t *testing.T) {
	w := newResetWorld(t, 3000)
	w.resetAll(1)
	if w.ends[1].live.first != nil {
		t.Error("a channel is as if it were not reset")
	}
	n := w.ends[1].channels.len()
	if n != 3000 {
		t.Fatalf("%d channels", n)
	}
	if allocs := testing.AllocsPerRun(20, func() { w.resetAll(1) }); allocs > 20 {
		t.Errorf("%.0f allocations for the next with %d channels", allocs, n)
	}
	w.run(20 * time.Second)
	for _, c := range w.incoming(1) {
		if c.State() != StateClosed {
			t.Fatalf("channel %d is %v", c.id, c.State())
		}
	}
}

// BenchmarkResetAll handles 35 packets of 32 bytes, with 10,000 channels.
func BenchmarkResetAll(b *testing.B) {
	w := newResetWorld(b, 10000)
	w.resetAll(1)
	for b.Loop() {
		w.resetAll(35)
	}
}

// If a remote performs the local reset and never resets its own side, the channel does
// not stay in state "closing" for ever.
func TestRemoteNeverResets(t *testing.T) {
	w := newWorld(t, 28)
	w.start()
	c := w.open(0, reliable("c"))
	w.run(time.Second)
	far := w.incoming(1)[0]
	far.state = StateClosing // so that this end does not answer the reset
	c.Close(w.now)
	w.run(resetWait - 2*time.Second)
	w.sendRawFrom(1, c.id, ppidBinary, []byte("still there"))
	w.run(resetWait - time.Second)
	if c.State() != StateClosing || c.Waiting() != 1 {
		t.Fatalf("%v with %d messages before the time", c.State(), c.Waiting())
	}
	w.run(3 * time.Second)
	if c.State() != StateClosed || c.Err() != nil {
		t.Errorf("%v, %v", c.State(), c.Err())
	}
	if next := w.open(0, reliable("next")); next.id == c.id {
		t.Error("the id is used again, though the remote's side is not reset")
	}
	// A late reset of the remote makes the id usable again.
	w.assoc[1].ResetStreams(w.now, c.id)
	w.run(time.Second)
	if again := w.open(0, reliable("again")); again.id != c.id {
		t.Errorf("id %d, not %d", again.id, c.id)
	}
}

// limitStreams changes the number of streams that an INIT or INIT ACK announces to n.
func limitStreams(pkt []byte, n uint16) []byte {
	if pkt[12] == 1 || pkt[12] == 2 {
		binary.BigEndian.PutUint16(pkt[12+4+10:], n)
		clear(pkt[8:12]) // no checksum
	}
	return pkt
}

// Channels beyond the remote's limit of streams fail with the reason, both before and
// after the limit is known.
func TestStreamLimit(t *testing.T) {
	w := newWorld(t, 29)
	w.alter = func(to int, pkt []byte) []byte {
		if to == 0 {
			return limitStreams(pkt, 10)
		}
		return pkt
	}
	negotiated := func(id uint16) Params {
		p := reliable("n")
		p.Negotiated, p.ID = true, id
		return p
	}
	inside, beyond := w.open(0, negotiated(9)), w.open(0, negotiated(10))
	var ours []*Channel
	for range 6 {
		ours = append(ours, w.open(0, reliable("o")))
	}
	w.start()
	if inside.State() != StateOpen || beyond.State() != StateClosed || !errors.Is(beyond.Err(), ErrStreamLimit) {
		t.Errorf("%v and %v, %v", inside.State(), beyond.State(), beyond.Err())
	}
	for i, c := range ours { // ids 0, 2 … 10
		if ok := i < 5; ok != (c.State() == StateOpen) || !ok && !errors.Is(c.Err(), ErrStreamLimit) {
			t.Errorf("channel %d: %v, %v", i, c.State(), c.Err())
		}
	}
	if _, err := w.ends[0].Open(w.now, reliable("late")); !errors.Is(err, ErrStreamLimit) {
		t.Errorf("Open: %v", err)
	}
	if _, err := w.ends[0].Open(w.now, negotiated(5000)); !errors.Is(err, ErrStreamLimit) {
		t.Errorf("Open of a negotiated one: %v", err)
	}
}

// If a remote acknowledges only channels up to a number and drops further
// DATA_CHANNEL_OPEN messages, the other channels fail.
func TestUnacknowledgedChannels(t *testing.T) {
	for _, acks := range []bool{true, false} {
		w := newWorld(t, 30)
		w.start()
		first := w.open(0, reliable("first"))
		w.run(time.Second)
		w.ends[0].acks = acks
		silent := w.open(0, reliable("silent"))
		for w.assoc[0].Acknowledged(silent.id) == false {
			w.step(0)
			for _, f := range w.flight {
				w.assoc[f.to].HandlePacket(w.now, f.pkt)
			}
			w.flight = nil
			for _, ok := w.assoc[1].Receive(); ok; _, ok = w.assoc[1].Receive() {
			}
			for p, ok := w.assoc[1].AppendPacket(w.now, nil, 1200); ok; p, ok = w.assoc[1].AppendPacket(w.now, nil, 1200) {
				w.assoc[0].HandlePacket(w.now, p)
			}
			w.now = w.now.Add(10 * time.Millisecond)
			w.assoc[1].Advance(w.now)
		}
		w.run(ackWait - time.Second)
		if silent.State() != StateOpen {
			t.Fatalf("%v before the time", silent.State())
		}
		w.run(2*ackWait + resetWait)
		if first.State() != StateOpen || acks != (silent.State() == StateClosed) || acks && silent.Err() != ErrUnacknowledged {
			t.Errorf("acks %v: %v and %v, %v", acks, first.State(), silent.State(), silent.Err())
		}
	}
}
