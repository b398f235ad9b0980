package datachannel

import (
	"strings"
	"testing"
	"time"

	"purertc/sctp"
)

// sendRaw has end 0 send what no Channel of ours does.
func (w *world) sendRaw(stream uint16, ppid uint32, data []byte) {
	w.t.Helper()
	if err := w.assoc[0].Send(w.now, sctp.Message{Stream: stream, PPID: ppid, Data: data}, sctp.SendOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

// A message in pieces (RFC 8831 §6.6) that nobody reads holds the receive window
// shut like any other.
func TestPiecesHoldTheWindow(t *testing.T) {
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
	if got != 10*(20*60000+1) || w.ends[1].partialBytes != 0 {
		t.Errorf("%d bytes came, %d stay counted", got, w.ends[1].partialBytes)
	}
	if n := w.assoc[1].Stats().ReceiveWindow; n < 1<<20 {
		t.Errorf("a window of %d bytes in the end", n)
	}
}

// However many channels there are, pieces of messages are bounded.
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
	held := 0
	for _, id := range w.ends[1].channels.ids() {
		held += len(w.ends[1].channels.get(id).partial)
	}
	if n := w.ends[1].partialBytes; n != held || held > maxPartialBytes || held < maxPartialBytes/2 {
		t.Errorf("%d bytes counted, %d held", n, held)
	}
	w.ends[1].closeAll(w.now, nil)
	if n := w.ends[1].partialBytes; n != 0 {
		t.Errorf("%d bytes stay counted", n)
	}
}

// A message longer than ours may be ends its channel, in pieces as whole, and
// nothing else; a label may be longer.
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
	w.sendRaw(w.open(0, reliable("x")).id+2, ppidBinary, make([]byte, 1001)) // comes before its channel
	w.run(time.Second)
	if w.ends[1].earlyBytes != 0 || w.ends[1].partialBytes != 0 || w.assoc[1].Stats().ReceiveWindow < before {
		t.Errorf("%d and %d bytes stay counted, the window is %d of %d", w.ends[1].earlyBytes, w.ends[1].partialBytes, w.assoc[1].Stats().ReceiveWindow, before)
	}
	if far := w.ends[1].channels.get(good.id); good.State() != StateOpen || far.State() != StateOpen {
		t.Errorf("another channel is %v and %v", good.State(), far.State())
	}
}

// Short messages count for what they take, on all unreliable channels together.
func TestUnreadShortMessagesAreBounded(t *testing.T) {
	w := newWorld(t, 22)
	w.start()
	p := reliable("u")
	p.MaxRetransmits = 10
	const most = maxUnreliableTotal / messageOverhead
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

// Labels and protocols of the far end's channels are bounded, and room again
// once a channel is closed.
func TestNamesAreBounded(t *testing.T) {
	w := newWorld(t, 23)
	w.start()
	p := reliable(strings.Repeat("l", 65535))
	p.Protocol = strings.Repeat("p", 65535)
	const most = maxNameBytes / (2 * 65535)
	var cs []*Channel
	for range most + 10 {
		cs = append(cs, w.open(0, p))
		w.run(100 * time.Millisecond)
	}
	if n := len(w.incoming(1)); n != most {
		t.Errorf("%d channels, not %d", n, most)
	}
	for i, c := range cs {
		if want := i < most; (c.State() == StateOpen) != want {
			t.Errorf("channel %d is %v", i, c.State())
		}
		c.Close(w.now)
	}
	w.run(time.Second)
	if n := w.ends[1].nameBytes; n != 0 {
		t.Errorf("%d bytes stay counted", n)
	}
	w.open(0, p)
	w.run(time.Second)
	if n := len(w.incoming(1)); n != most+1 {
		t.Errorf("%d channels in the end", n)
	}
}
