package rtcpeer

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"purertc/datachannel"
)

// A connection carries every kind of message in both directions.
func TestMessages(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := connect(t, Config{}, ChannelOptions{Protocol: "proto"})
		defer p.close()
		if p.y.Label() != "x" || p.y.Protocol() != "proto" || p.y.ID() != p.x.ID() || p.x.ID() > 65534 || p.y.IsNegotiated() || !p.y.IsOrdered() ||
			p.y.MaxRetransmits() != 65535 || p.y.MaxPacketLifeTime() != 65535 {
			t.Error("the getters of a received channel")
		}
		if p.x.MaxPacketSize() != 262144 {
			t.Errorf("MaxPacketSize %d", p.x.MaxPacketSize())
		}
		ctx := context.Background()
		big := bytes.Repeat([]byte("0123456789abcdef"), 262144/16)
		for _, m := range []struct {
			b    []byte
			text bool
		}{{[]byte("hello"), true}, {[]byte{0, 255}, false}, {nil, true}, {[]byte{}, false}, {big, false}, {[]byte("end"), true}} {
			for _, d := range [][2]*DataChannel{{p.x, p.y}, {p.y, p.x}} {
				if err := d[0].Send(ctx, m.b, m.text); err != nil {
					t.Fatal(err)
				}
				b, text, err := d[1].Receive(ctx)
				if err != nil || !bytes.Equal(b, m.b) || text != m.text || d[1].WasStringPacket() != m.text {
					t.Fatalf("got %d bytes, text %v, %v", len(b), text, err)
				}
			}
		}
		p.x.SetWriteMode(WriteModeText)
		if err := p.x.PutPacket([]byte("text")); err != nil {
			t.Fatal(err)
		}
		if b, text, err := p.y.Receive(ctx); err != nil || !text || string(b) != "text" {
			t.Errorf("%q, %v, %v", b, text, err)
		}
		if err := p.x.PutPacket(make([]byte, 262145)); !errors.Is(err, ErrMessageTooLarge) {
			t.Errorf("a packet too large: %v", err)
		}
		if err := p.x.Send(ctx, make([]byte, 262145), false); !errors.Is(err, ErrMessageTooLarge) {
			t.Errorf("a packet too large: %v", err)
		}
		// The returned slice belongs to the caller, and the argument is copied.
		b := []byte("before")
		p.x.PutPacket(b)
		copy(b, "after!")
		if got, _, _ := p.y.Receive(ctx); string(got) != "before" {
			t.Errorf("got %q", got)
		}
		if s := p.a.Stats().Transport; s.DTLSState != "connected" || s.DTLSRole != "server" || s.DTLSVersion == "" || s.DTLSCipher == "" {
			t.Errorf("stats %+v", s)
		}
		if s := p.b.Stats().Transport; s.DTLSRole != "client" {
			t.Errorf("stats %+v", s)
		}
	})
}

// If a program stops reading, the remote has to wait. The memory of both ends stays
// bounded.
func TestBackpressure(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		cfg := Config{SendBufferSize: 100_000}
		p := connect(t, cfg, ChannelOptions{})
		defer p.close()
		ctx := context.Background()
		low := make(chan struct{}, 100)
		p.x.OnBufferedAmountLow(10_000, func() { low <- struct{}{} })
		total := 0
		for {
			err := p.x.PutPacket(make([]byte, 10_000))
			if errors.Is(err, ErrBufferFull) {
				pause() // checks that no further packets are exchanged
				if err = p.x.PutPacket(make([]byte, 10_000)); errors.Is(err, ErrBufferFull) {
					break
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			if total += 10_000; total > 64<<20 {
				t.Fatal("64 MB were accepted, and the remote read nothing")
			}
		}
		if n := p.x.BufferedAmount(); n < 100_000 || n >= 110_000 {
			t.Errorf("%d bytes are buffered", n)
		}
		for len(low) > 0 {
			<-low
		}
		// Send waits until there is room in the buffer.
		sent := make(chan error, 1)
		go func() { sent <- p.x.Send(ctx, []byte("last"), true) }()
		pause()
		if len(sent) != 0 {
			t.Fatal("Send did not wait")
		}
		for got := 0; ; {
			b, text, err := p.y.Receive(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if text {
				if got != total || string(b) != "last" {
					t.Errorf("%d bytes of %d, then %q", got, total, b)
				}
				break
			}
			got += len(b)
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		pause()
		if len(low) != 1 {
			t.Errorf("OnBufferedAmountLow was called %d times", len(low))
		}
		// While the buffered amount stays below the threshold, no handler is called.
		p.x.PutPacket([]byte("x"))
		pause()
		if len(low) != 1 {
			t.Errorf("OnBufferedAmountLow was called %d times", len(low))
		}
	})
}

// Unreliable channels drop their oldest messages and do not make the remote wait.
func TestUnreliableNotRead(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := connect(t, Config{}, ChannelOptions{Ordered: new(false), MaxRetransmits: new(0)})
		defer p.close()
		if p.y.IsOrdered() || p.y.MaxRetransmits() != 0 {
			t.Error("the options of the received channel")
		}
		if _, err := p.y.NetConn(); !errors.Is(err, ErrInvalidState) {
			t.Errorf("NetConn: %v", err)
		}
		for i := range 300 {
			if err := p.x.Send(context.Background(), bytes.Repeat([]byte{byte(i)}, 10_000), false); err != nil {
				t.Fatal(err)
			}
			<-time.After(20 * time.Millisecond)
		}
		n := p.y.AvailablePacketCount()
		if n > 1<<20/10_000 || n < 10 {
			t.Errorf("%d packets wait", n)
		}
		b, err := p.y.GetPacket()
		if err != nil || b[0] == 0 {
			t.Errorf("the oldest is still there: %v", err)
		}
	})
}

// OnPacketReceived is called once for new packets. It is not called again for packets
// that its last call has left.
func TestOnPacketReceived(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := connect(t, Config{}, ChannelOptions{})
		defer p.close()
		calls := 0
		p.x.PutPacket([]byte("1"))
		pause()
		p.y.OnPacketReceived(func() { calls++ }) // the packet is already waiting
		pause()
		if calls != 1 {
			t.Errorf("%d calls for a packet that waited", calls)
		}
		pause()
		p.x.PutPacket([]byte("2"))
		pause()
		if calls != 2 || p.y.AvailablePacketCount() != 2 {
			t.Errorf("%d calls, %d packets", calls, p.y.AvailablePacketCount())
		}
		p.y.GetPacket()
		pause()
		if calls != 2 {
			t.Errorf("%d calls, though nothing came", calls)
		}
		p.y.OnPacketReceived(nil)
		p.x.PutPacket([]byte("3"))
		pause()
		if calls != 2 {
			t.Errorf("%d calls of a handler that was taken away", calls)
		}
	})
}

// MaxPacketSize depends on the remote's a=max-message-size.
func TestMaxPacketSize(t *testing.T) {
	for line, want := range map[string]int{"a=max-message-size:100\r\n": 100, "": 65536, "a=max-message-size:0\r\n": 300_000, "a=max-message-size:9999999\r\n": 300_000} {
		inBubble(t, func(t *testing.T) {
			n := newMemNet()
			a, b := newMemConn(t, n, "10.0.0.1", Config{}), newMemConn(t, n, "10.0.0.2", Config{MaxMessageSize: 300_000})
			defer a.Close()
			defer b.Close()
			ch, err := b.CreateDataChannel("x", ChannelOptions{Negotiated: true, ID: new(1)})
			if err != nil {
				t.Fatal(err)
			}
			a.CreateDataChannel("x", ChannelOptions{Negotiated: true, ID: new(1)})
			a.OnSessionDescriptionCreated(func(typ, sdp string) {
				a.SetLocalDescription(typ, sdp)
				_, sdp = a.LocalDescription()
				if err := b.SetRemoteDescription(typ, strings.Replace(sdp, "a=max-message-size:262144\r\n", line, 1)); err != nil {
					t.Error(err)
				}
			})
			signalTo(t, b, a)
			a.CreateOffer()
			a.Poll()
			waitFor(t, "open", func() bool { a.Poll(); b.Poll(); return ch.ReadyState() == ChannelStateOpen })
			if got := ch.MaxPacketSize(); got != want {
				t.Errorf("%q: %d, want %d", line, got, want)
			}
			if err := ch.PutPacket(make([]byte, want+1)); !errors.Is(err, ErrMessageTooLarge) {
				t.Errorf("%q: %v", line, err)
			}
		})
	}
}

// The DATA_CHANNEL_OPEN message may be longer than max-message-size.
func TestLongLabelShortMessages(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := connect(t, Config{MaxMessageSize: 1}, ChannelOptions{})
		defer p.close()
		received := make(chan *DataChannel, 1)
		p.b.OnDataChannelReceived(func(ch *DataChannel) { received <- ch })
		long := strings.Repeat("l", 65535)
		ch, err := p.a.OpenDataChannel(long, ChannelOptions{Protocol: long})
		if err != nil {
			t.Fatal(err)
		}
		if far := <-received; far.Label() != long || far.Protocol() != long {
			t.Errorf("label of %d bytes, protocol of %d", len(far.Label()), len(far.Protocol()))
		}
		if err := ch.PutPacket([]byte("ab")); !errors.Is(err, ErrMessageTooLarge) {
			t.Errorf("two bytes: %v", err)
		}
	})
}

// If the remote exceeds the local max-message-size, the channel closes with an error
// and the connection continues.
func TestMaxMessageSizeNotHeeded(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := newMemNet()
		a, b := newMemConn(t, n, "10.0.0.1", Config{}), newMemConn(t, n, "10.0.0.2", Config{MaxMessageSize: 100})
		defer a.Close()
		defer b.Close()
		signalTo(t, a, b)
		b.OnSessionDescriptionCreated(func(typ, sdp string) {
			b.SetLocalDescription(typ, sdp)
			_, sdp = b.LocalDescription()
			if err := a.SetRemoteDescription(typ, strings.Replace(sdp, "a=max-message-size:100\r\n", "", 1)); err != nil {
				t.Error(err)
			}
		})
		var near, far [2]*DataChannel
		for id := range near {
			near[id], _ = a.CreateDataChannel("x", ChannelOptions{Negotiated: true, ID: new(id)})
			far[id], _ = b.CreateDataChannel("x", ChannelOptions{Negotiated: true, ID: new(id)})
		}
		a.CreateOffer()
		poll := func() { a.Poll(); b.Poll() }
		waitFor(t, "open", func() bool { poll(); return near[0].ReadyState() == ChannelStateOpen })
		for _, size := range []int{100, 101} {
			if err := near[0].PutPacket(make([]byte, size)); err != nil {
				t.Fatal(err)
			}
		}
		waitFor(t, "closed", func() bool { poll(); return near[0].ReadyState() == ChannelStateClosed })
		if p, _, err := far[0].Receive(context.Background()); len(p) != 100 || err != nil {
			t.Errorf("%d bytes, %v", len(p), err)
		}
		if _, _, err := far[0].Receive(context.Background()); !errors.Is(err, datachannel.ErrProtocol) {
			t.Errorf("then %v", err)
		}
		near[1].PutPacket([]byte("y"))
		waitFor(t, "other", func() bool { poll(); return far[1].AvailablePacketCount() == 1 })
	})
}

// MaxChannels and MemoryLimit limit the channels and messages of the remote.
func TestMemoryLimitAndMaxChannels(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const limit = 2 << 20
		n := newMemNet()
		cfg := Config{MemoryLimit: limit, MaxChannels: 5}
		a, b := newMemConn(t, n, "10.0.0.1", Config{}), newMemConn(t, n, "10.0.0.2", cfg)
		defer a.Close()
		defer b.Close()
		signalTo(t, a, b)
		signalTo(t, b, a)
		x, err := a.OpenDataChannel("x", ChannelOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var got []*DataChannel
		b.OnDataChannelReceived(func(ch *DataChannel) { got = append(got, ch) })
		a.CreateOffer()
		poll := func(d time.Duration) {
			for range d / (10 * time.Millisecond) {
				a.Poll()
				b.Poll()
				<-time.After(10 * time.Millisecond)
			}
		}
		poll(5 * time.Second)
		var more []*DataChannel
		for range 8 {
			ch, err := a.OpenDataChannel("more", ChannelOptions{})
			if err != nil {
				t.Fatal(err)
			}
			more = append(more, ch)
		}
		poll(5 * time.Second)
		closed := 0
		for _, ch := range more {
			if ch.ReadyState() == ChannelStateClosed {
				closed++
			}
		}
		if len(got) != 5 || closed != 4 {
			t.Errorf("%d channels came, %d were refused", len(got), closed)
		}
		if _, err := b.OpenDataChannel("one more", ChannelOptions{}); !errors.Is(err, ErrInvalidState) {
			t.Errorf("OpenDataChannel beyond MaxChannels: %v", err)
		}
		for range 200 {
			x.PutPacket(make([]byte, 20_000))
		}
		poll(5 * time.Second)
		q := b.ext.(*stack).transport
		q.mu.Lock()
		m := q.core.assoc.Memory()
		used, most := m.Used(), m.Limit()
		q.mu.Unlock()
		if most > limit || used > most || used < limit/4 {
			t.Errorf("%d bytes are charged, at most %d", used, most)
		}
	})
}
