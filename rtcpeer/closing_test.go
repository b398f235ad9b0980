package rtcpeer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"purertc/ice"
)

func TestErrClosed(t *testing.T) {
	cause := errors.New("why")
	err := closedBy(cause)
	if !errors.Is(ErrClosed, ErrInvalidState) || !errors.Is(err, ErrClosed) || !errors.Is(err, ErrInvalidState) || !errors.Is(err, cause) {
		t.Errorf("%v", err)
	}
	for want, err := range map[string]error{
		"rtcpeer: closed":                               closedBy(nil),
		"rtcpeer: closed: why":                          err,
		"rtcpeer: closed by the peer":                   closedBy(ErrRemoteClosed),
		"rtcpeer: closed: connection failed: DTLS: why": closedBy(failedBy(fmt.Errorf("rtcpeer: DTLS: %w", cause))),
	} {
		if err.Error() != want {
			t.Errorf("%q, want %q", err, want)
		}
	}
	if errors.Is(ErrInvalidState, ErrClosed) || errors.Is(ErrClosed, ErrUnavailable) {
		t.Error("too much is ErrClosed")
	}
}

// After Close, and after Initialize has failed, every call returns ErrClosed, until
// Initialize succeeds.
func TestClosed(t *testing.T) {
	for _, how := range []string{"Close", "Initialize"} {
		c := New()
		ch, err := c.CreateDataChannel("x", ChannelOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if how == "Close" {
			err = c.Close()
		} else {
			err = c.Initialize(Config{ICEServers: []ICEServer{{URLs: []string{"http://x"}}}})
			if !errors.Is(err, ErrInvalidParameter) {
				t.Errorf("Initialize: %v", err)
			}
			err = nil
		}
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		_, _, rerr := ch.Receive(ctx)
		for name, err := range map[string]error{
			"CreateOffer": c.CreateOffer(), "SetLocalDescription": c.SetLocalDescription("offer", ""), "rollback": c.SetLocalDescription("rollback", ""),
			"SetRemoteDescription": c.SetRemoteDescription("what", ""), "AddICECandidate": c.AddICECandidate("", 0, ""),
			"Wait": c.Wait(ctx), "RestartICE": c.RestartICE(), "SetICEServers": c.SetICEServers(nil), "Shutdown": c.Shutdown(ctx),
			"CreateDataChannel": second(c.CreateDataChannel("", ChannelOptions{})), "OpenDataChannel": second(c.OpenDataChannel("", ChannelOptions{})),
			"PutPacket": ch.PutPacket([]byte("x")), "Send": ch.Send(ctx, nil, false), "Receive": rerr,
		} {
			if !errors.Is(err, ErrClosed) {
				t.Errorf("%s after %s: %v", name, how, err)
			}
		}
		if err := c.Poll(); err != nil {
			t.Errorf("Poll: %v", err)
		}
		if err := c.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := errors.Join(c.Close(), ch.Close(), ch.Poll()); err != nil {
			t.Errorf("Close: %v", err)
		}
		if _, err := ch.GetPacket(); !errors.Is(err, ErrUnavailable) {
			t.Errorf("GetPacket: %v", err)
		}
		if c.ConnectionState() != StateClosed || c.SignalingState() != SignalingStateClosed || ch.ReadyState() != ChannelStateClosed {
			t.Errorf("states %v, %v, %v", c.ConnectionState(), c.SignalingState(), ch.ReadyState())
		}
		// Only Initialize makes the connection usable again.
		if err := c.Initialize(Config{}); err != nil {
			t.Fatal(err)
		}
		if c.ConnectionState() != StateNew || c.SignalingState() != SignalingStateStable || c.GatheringState() != GatheringStateNew {
			t.Errorf("states %v, %v, %v", c.ConnectionState(), c.SignalingState(), c.GatheringState())
		}
		if err := c.CreateOffer(); !errors.Is(err, ErrInvalidState) {
			t.Errorf("CreateOffer without a channel since Initialize: %v", err)
		}
		if ch.ReadyState() != ChannelStateClosed || !errors.Is(ch.PutPacket(nil), ErrClosed) {
			t.Error("the old channel lives again")
		}
		c.Close()
	}
}

// When the remote closes the connection, received messages are delivered first.
func TestRemoteClose(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := connect(t, Config{}, ChannelOptions{})
		p.stop() // no goroutine polls the connection
		pause()
		var order []string
		p.y.OnPacketReceived(func() { order = append(order, "packet") })
		p.y.OnStateChanged(func() { order = append(order, p.y.ReadyState().String()) })
		p.b.OnStateChanged(func() { order = append(order, p.b.ConnectionState().String()) })
		var late *DataChannel
		p.b.OnDataChannelReceived(func(ch *DataChannel) {
			late = ch
			order = append(order, "channel")
			ch.OnPacketReceived(func() { order = append(order, "late packet") })
		})
		ch, err := p.a.OpenDataChannel("late", ChannelOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(p.x.PutPacket([]byte("1")), p.x.PutPacket([]byte("2")), ch.PutPacket([]byte("3"))); err != nil {
			t.Fatal(err)
		}
		pause()
		start := time.Now()
		p.a.Close()
		waitFor(t, "the peer has freed everything", func() bool {
			q := p.b.ext.(*stack).transport
			q.mu.Lock()
			defer q.mu.Unlock()
			return q.closed && q.gatherer.sockets == nil
		})
		if took := time.Since(start); took > 20*time.Millisecond {
			t.Errorf("the close was seen after %v, two round trips", took)
		}
		if s := p.b.ConnectionState(); s != StateConnected {
			t.Errorf("state %v before Poll", s)
		}
		for range 5 {
			if err := p.b.Poll(); err != nil {
				t.Error(err)
			}
		}
		if got, want := strings.Join(order, ", "), "channel, packet, closed, late packet, closed"; got != want {
			t.Errorf("order %q, want %q", got, want)
		}
		for _, want := range []string{"1", "2"} {
			if b, err := p.y.GetPacket(); err != nil || string(b) != want {
				t.Errorf("GetPacket: %q, %v", b, err)
			}
		}
		if b, _, err := late.Receive(context.Background()); err != nil || string(b) != "3" {
			t.Errorf("Receive: %q, %v", b, err)
		}
		if _, _, err := late.Receive(context.Background()); !errors.Is(err, ErrClosed) {
			t.Errorf("Receive: %v", err)
		}
		if p.b.ConnectionState() != StateClosed || p.y.ReadyState() != ChannelStateClosed {
			t.Errorf("states %v, %v", p.b.ConnectionState(), p.y.ReadyState())
		}
		if err := p.b.Run(context.Background()); err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := p.b.CreateOffer(); !errors.Is(err, ErrClosed) {
			t.Errorf("CreateOffer: %v", err)
		}
	})
}

// pause lets a second of virtual time pass, and waits until all goroutines are
// blocked.
func pause() {
	<-time.After(time.Second)
	synctest.Wait()
}

// The DTLS server also sends close_notify: an ABORT alone may be lost.
func TestCloseNotify(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := connect(t, Config{}, ChannelOptions{})
		defer p.close()
		pause()
		for _, c := range []*Conn{p.a, p.b} {
			q := c.ext.(*stack).transport
			q.mu.Lock()
			now := time.Now()
			q.core.dtls.Close(now)
			_, _, ok := q.core.appendDatagram(now, nil, false)
			q.mu.Unlock()
			if !ok {
				t.Errorf("DTLS %s: no close_notify", c.Stats().Transport.DTLSRole)
			}
		}
	})
}

// When a channel is closed, queued messages arrive first. Then both ends are closed,
// and the stream can be used again.
func TestChannelClose(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := connect(t, Config{}, ChannelOptions{})
		defer p.close()
		ctx := context.Background()
		received := make(chan *DataChannel, 10)
		p.b.OnDataChannelReceived(func(ch *DataChannel) { received <- ch })
		ids := map[int]bool{}
		for i := range 5 {
			ch, err := p.a.OpenDataChannel("again", ChannelOptions{})
			if err != nil {
				t.Fatal(err)
			}
			var states []ChannelState
			ch.OnStateChanged(func() { states = append(states, ch.ReadyState()) })
			if err := ch.Send(ctx, make([]byte, 100_000), false); err != nil {
				t.Fatal(err)
			}
			peer := <-received
			ids[ch.ID()] = true
			if err := ch.Close(); err != nil || ch.ReadyState() != ChannelStateClosing {
				t.Fatalf("%v, %v", err, ch.ReadyState())
			}
			if err := ch.PutPacket(nil); !errors.Is(err, ErrInvalidState) {
				t.Errorf("PutPacket while closing: %v", err)
			}
			if b, _, err := peer.Receive(ctx); err != nil || len(b) != 100_000 {
				t.Fatalf("%d bytes, %v", len(b), err)
			}
			if _, _, err := peer.Receive(ctx); err != io.EOF {
				t.Errorf("after a clean close: %v", err)
			}
			if _, _, err := ch.Receive(ctx); err != io.EOF {
				t.Errorf("after a clean close: %v", err)
			}
			waitFor(t, "both ends are closed", func() bool {
				return ch.ReadyState() == ChannelStateClosed && peer.ReadyState() == ChannelStateClosed
			})
			if n := len(states); i > 0 && (n < 2 || states[n-1] != ChannelStateClosed || states[n-2] != ChannelStateClosing) {
				t.Errorf("states %v", states)
			}
		}
		if len(ids) > 2 {
			t.Errorf("five channels one after the other used the ids %v", ids)
		}
	})
}

// Shutdown sends all queued data. It returns in time if the remote has vanished.
func TestShutdown(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := connect(t, Config{}, ChannelOptions{})
		defer p.close()
		for range 40 {
			if err := p.x.PutPacket(make([]byte, 50_000)); err != nil {
				t.Fatal(err)
			}
		}
		done := make(chan error, 1)
		go func() { done <- p.a.Shutdown(context.Background()) }()
		for range 40 {
			if b, _, err := p.y.Receive(context.Background()); err != nil || len(b) != 50_000 {
				t.Fatalf("%d bytes, %v", len(b), err)
			}
		}
		if err := <-done; err != nil || p.a.ConnectionState() != StateClosed {
			t.Errorf("%v, state %v", err, p.a.ConnectionState())
		}
		waitFor(t, "the peer sees it", func() bool { return p.b.ConnectionState() == StateClosed })
		if _, _, err := p.y.Receive(context.Background()); !errors.Is(err, ErrClosed) && err != io.EOF {
			t.Errorf("Receive: %v", err)
		}
	})
	inBubble(t, func(t *testing.T) {
		p := connect(t, Config{}, ChannelOptions{})
		defer p.close()
		p.net.setCut(true)
		p.x.PutPacket([]byte("x"))
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := p.a.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) || p.a.ConnectionState() != StateClosed {
			t.Errorf("Shutdown: %v, %v", err, p.a.ConnectionState())
		}
		start := time.Now()
		if err := p.b.Shutdown(context.Background()); err == nil || time.Since(start) > 40*time.Second {
			t.Errorf("Shutdown with a vanished peer: %v after %v", err, time.Since(start))
		}
	})
	// The connection failed before Shutdown, with or without undelivered data.
	for _, data := range []bool{true, false} {
		inBubble(t, func(t *testing.T) {
			p := connect(t, Config{}, ChannelOptions{})
			defer p.close()
			p.net.setCut(true)
			if data {
				p.x.PutPacket([]byte("x"))
			}
			waitFor(t, "failed", func() bool { return p.a.ConnectionState() == StateFailed })
			if err := p.a.Shutdown(context.Background()); errors.Is(err, ice.ErrConsentExpired) != data || (err != nil) != data {
				t.Errorf("Shutdown after a failure, data %v: %v", data, err)
			}
		})
	}
	// Either end closes the connection before all data is delivered.
	for _, who := range []string{"peer", "program"} {
		inBubble(t, func(t *testing.T) {
			p := connect(t, Config{}, ChannelOptions{})
			defer p.close()
			for p.x.PutPacket(make([]byte, 50_000)) == nil {
			}
			done := make(chan error, 1)
			go func() { done <- p.a.Shutdown(context.Background()) }()
			pause() // no program reads
			if who == "peer" {
				p.b.Close()
			} else {
				p.a.Close()
			}
			if err := <-done; !errors.Is(err, ErrClosed) {
				t.Errorf("Shutdown that the %s's Close ended: %v", who, err)
			}
		})
	}
	c := New()
	if err := c.Shutdown(context.Background()); err != nil || c.ConnectionState() != StateClosed {
		t.Errorf("Shutdown before anything: %v", err)
	}
}

// A remote vanishes and returns. Another remote does not return.
func TestRemoteVanishes(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := connect(t, Config{}, ChannelOptions{})
		defer p.close()
		start := time.Now()
		p.net.setCut(true)
		waitFor(t, "disconnected", func() bool { return p.a.ConnectionState() != StateConnected })
		if d := time.Since(start); p.a.ConnectionState() != StateDisconnected || d > 10*time.Second {
			t.Errorf("%v after %v", p.a.ConnectionState(), d)
		}
		p.x.PutPacket([]byte("meanwhile"))
		p.net.setCut(false)
		waitFor(t, "back", func() bool { return p.a.ConnectionState() == StateConnected && p.b.ConnectionState() == StateConnected })
		if b, _, err := p.y.Receive(context.Background()); err != nil || string(b) != "meanwhile" {
			t.Errorf("%q, %v", b, err)
		}
		start = time.Now()
		p.net.setCut(true)
		waitFor(t, "failed", func() bool { return p.a.ConnectionState() == StateFailed && p.b.ConnectionState() == StateFailed })
		if d := time.Since(start); d < 20*time.Second || d > 31*time.Second {
			t.Errorf("failed after %v", d)
		}
		if err := p.a.Poll(); err == nil {
			t.Error("Poll has no cause")
		}
		// An ICE restart loses no data, as the answerer observes.
		p.net.setCut(false)
		p.x.PutPacket([]byte("after"))
		if err := p.b.RestartICE(); err != nil {
			t.Fatal(err)
		}
		if err := p.b.CreateOffer(); err != nil {
			t.Fatal(err)
		}
		go p.a.Run(context.Background()) // Run returned at StateFailed
		go p.b.Run(context.Background())
		waitFor(t, "recovered", func() bool { return p.a.ConnectionState() == StateConnected && p.b.ConnectionState() == StateConnected })
		if b, _, err := p.y.Receive(context.Background()); err != nil || string(b) != "after" {
			t.Errorf("%q, %v", b, err)
		}
		if err := p.a.Poll(); err != nil {
			t.Errorf("Poll after recovery: %v", err)
		}
	})
}

// Blocked calls return when the connection fails. Calls block again after an ICE
// restart was requested.
func TestFailureEndsWaiting(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := connect(t, Config{}, ChannelOptions{})
		defer p.close()
		full, err := p.a.OpenDataChannel("full", ChannelOptions{})
		if err != nil {
			t.Fatal(err)
		}
		stream, err := p.x.NetConn()
		if err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the second channel is open", func() bool { return full.ReadyState() == ChannelStateOpen })
		p.y.PutPacket([]byte("last words"))
		pause()
		p.net.setCut(true)
		for full.PutPacket(make([]byte, 50_000)) == nil {
		}
		type result struct {
			what string
			err  error
		}
		results := make(chan result, 10)
		wait := func(what string, f func() error) { go func() { results <- result{what, f()} }() }
		ctx := context.Background()
		wait("Run", func() error { return p.a.Run(ctx) })
		wait("Send", func() error { return full.Send(ctx, []byte("x"), false) })
		wait("Receive", func() error { _, _, err := full.Receive(ctx); return err })
		wait("Read", func() error {
			b := make([]byte, 100)
			if n, err := stream.Read(b); string(b[:n]) != "last words" {
				return fmt.Errorf("%q, %v", b[:n], err)
			}
			_, err := stream.Read(b)
			return err
		})
		for range 4 {
			if r := <-results; !errors.Is(r.err, ErrFailed) || !errors.Is(r.err, ice.ErrConsentExpired) {
				t.Errorf("%s: %v", r.what, r.err)
			}
		}
		if _, _, err := full.Receive(ctx); !errors.Is(err, ErrFailed) {
			t.Errorf("Receive after StateFailed: %v", err)
		}
		// A channel that is closed in StateFailed is closed at once.
		if err := full.Close(); err != nil {
			t.Error(err)
		}
		if _, _, err := full.Receive(ctx); !errors.Is(err, ErrClosed) || !errors.Is(err, ErrFailed) {
			t.Errorf("Receive after Close: %v", err)
		}
		p.a.Poll()
		if s := full.ReadyState(); s != ChannelStateClosed {
			t.Errorf("closed in StateFailed, the channel is %v", s)
		}
		// After RestartICE, calls block again.
		p.net.setCut(false)
		if err := errors.Join(p.a.RestartICE(), p.a.CreateOffer()); err != nil {
			t.Fatal(err)
		}
		wait("Receive", func() error { _, _, err := p.x.Receive(ctx); return err })
		go p.a.Run(ctx)
		go p.b.Run(ctx)
		waitFor(t, "both are connected", func() bool { return p.a.ConnectionState() == StateConnected && p.b.ConnectionState() == StateConnected })
		if err := p.y.Send(ctx, []byte("again"), false); err != nil {
			t.Error(err)
		}
		if r := <-results; r.err != nil {
			t.Errorf("Receive while ICE restarts: %v", r.err)
		}
	})
}

// A first connection that never works fails within a minute at the offerer. The
// answerer receives nothing and waits, because its answer may still be on the way. An
// ICE restart makes the connection work.
func TestNeverConnects(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := newMemNet()
		n.setCut(true)
		a, b := newMemConn(t, n, "10.0.0.1", Config{}), newMemConn(t, n, "10.0.0.2", Config{})
		defer a.Close()
		defer b.Close()
		signalTo(t, a, b)
		signalTo(t, b, a)
		a.CreateDataChannel("x", ChannelOptions{})
		a.CreateOffer()
		start := time.Now()
		both := func(s ConnectionState) func() bool {
			return func() bool {
				a.Poll()
				b.Poll()
				return a.ConnectionState() == s && b.ConnectionState() == s
			}
		}
		waitFor(t, "the offerer has failed", func() bool { both(StateFailed)(); return a.ConnectionState() == StateFailed })
		if d := time.Since(start); d > time.Minute || b.ConnectionState() != StateConnecting {
			t.Errorf("failed after %v, and the answerer is %v", d, b.ConnectionState())
		}
		n.setCut(false)
		if err := errors.Join(a.RestartICE(), a.CreateOffer()); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "both are connected", both(StateConnected))
	})
}

// failures returns the errors of calls on a failed connection and its channel.
func failures(c *Conn, ch *DataChannel) map[string]error {
	ctx := context.Background()
	return map[string]error{
		"PutPacket":       ch.PutPacket([]byte("x")),
		"Send":            ch.Send(ctx, []byte("x"), false),
		"Receive":         third(ch.Receive(ctx)),
		"OpenDataChannel": second(c.OpenDataChannel("late", ChannelOptions{})),
	}
}

func third[T, U any](_ T, _ U, err error) error { return err }
