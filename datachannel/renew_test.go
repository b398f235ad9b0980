package datachannel

import (
	"encoding/binary"
	"testing"
	"time"
)

// renew makes both ends begin a new association. No packet is in flight.
func (w *world) renew() {
	w.flight = nil
	for i, a := range w.assoc {
		a.Renew(w.now)
		w.ends[i].Process(w.now)
	}
	for _, a := range w.assoc {
		a.Connect(w.now)
	}
}

// exchange checks that a message arrives in each direction between the two ends of a
// channel.
func (w *world) exchange(what string, a, b *Channel) {
	w.t.Helper()
	for _, c := range []*Channel{a, b} {
		if err := c.Send(w.now, []byte(what), true); err != nil {
			w.t.Errorf("%s: %v", what, err)
		}
	}
	w.run(time.Second)
	for _, c := range []*Channel{a, b} {
		if got, _, ok := c.Receive(w.now); !ok || string(got) != what {
			w.t.Errorf("%s: received %q, %v", what, got, ok)
		}
	}
}

// TestRenewedAssociation checks that channels continue in every state when both ends
// begin a new association.
func TestRenewedAssociation(t *testing.T) {
	w := newWorld(t, 1)
	w.start()
	open := Params{MaxRetransmits: -1, MaxPacketLifeTime: -1, Unordered: true}
	x := w.open(0, open)
	unread := w.open(1, open)
	half := w.open(0, open)
	w.run(time.Second)
	y, read, halfThere := w.incoming(1)[0], w.incoming(0)[0], w.incoming(1)[1]
	unread.Send(w.now, []byte("before"), true)
	w.run(time.Second)
	unread.Send(w.now, []byte("queued"), true) // not sent before the end of the association

	// The remote end of half has reset its side, and the local end has not received
	// that yet.
	halfThere.Close(w.now)
	w.step(1)
	closing := w.open(0, open)
	unacked := w.open(0, open)
	w.step(0)
	for _, f := range w.flight { // the DATA_CHANNEL_OPEN messages of the other end arrive
		if f.to == 1 {
			w.assoc[1].HandlePacket(w.now, f.pkt)
		}
	}
	w.flight = nil
	w.step(1)
	w.events[1] = nil
	for _, f := range w.flight { // of the answers only the SACK arrives, without a checksum
		if n := 12 + int(binary.BigEndian.Uint16(f.pkt[14:])); f.pkt[12] == 3 {
			clear(f.pkt[8:12])
			w.assoc[0].HandlePacket(w.now, f.pkt[:n])
		}
	}
	unopened := w.open(0, open)
	closing.Close(w.now)
	if unacked.acked {
		t.Error("a DATA_CHANNEL_ACK arrived")
	}
	w.renew()
	if !unacked.acked || unopened.acked {
		t.Errorf("acknowledged: %v by SACK, %v never sent", unacked.acked, unopened.acked)
	}
	w.run(5 * time.Second)

	w.exchange("an open channel", x, y)
	for _, want := range []string{"before", "queued"} {
		if got, _, ok := read.Receive(w.now); !ok || string(got) != want {
			t.Errorf("received %q, %v; want %q", got, ok, want)
		}
	}
	for name, c := range map[string]*Channel{"half": half, "its other end": halfThere, "closing": closing} {
		if c.State() != StateClosed || c.Err() != nil {
			t.Errorf("%s: %v, %v", name, c.State(), c.Err())
		}
	}
	in := w.incoming(1)
	if len(in) != 1 {
		t.Fatalf("%d channels were opened since", len(in))
	}
	w.exchange("a channel that was not opened before", unopened, in[0])
	id, _ := unacked.ID()
	w.exchange("a channel whose DATA_CHANNEL_ACK was lost", unacked, w.ends[1].channels.get(id))
	if !unacked.acked || !unopened.acked {
		t.Error("a channel is not acknowledged")
	}
	w.run(2 * time.Minute)
	if unacked.State() != StateOpen || x.State() != StateOpen {
		t.Errorf("states %v, %v after a while", unacked.State(), x.State())
	}
	w.exchange("a new channel", w.open(0, open), func() *Channel { w.run(time.Second); return w.incoming(1)[1] }())
}
