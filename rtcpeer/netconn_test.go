package rtcpeer

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// If Write of a NetConn begins before the channel opens, its packets are limited to
// the remote's max-message-size, which becomes known later.
func TestNetConnWriteBeforeOpen(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		n := newMemNet()
		a, b := newMemConn(t, n, "10.0.0.1", Config{}), newMemConn(t, n, "10.0.0.2", Config{MaxMessageSize: 1000})
		signalTo(t, a, b)
		signalTo(t, b, a)
		received := make(chan *DataChannel, 1)
		b.OnDataChannelReceived(func(ch *DataChannel) { received <- ch })
		ch, err := a.CreateDataChannel("x", ChannelOptions{})
		if err != nil {
			t.Fatal(err)
		}
		c, err := ch.NetConn()
		if err != nil {
			t.Fatal(err)
		}
		var running sync.WaitGroup
		running.Go(func() {
			if n, err := c.Write(make([]byte, 2500)); n != 2500 || err != nil {
				t.Errorf("%d, %v", n, err)
			}
		})
		synctest.Wait()
		if err := a.CreateOffer(); err != nil {
			t.Fatal(err)
		}
		running.Go(func() { a.Run(context.Background()) })
		running.Go(func() { b.Run(context.Background()) })
		defer running.Wait()
		defer b.Close()
		defer a.Close()
		var far *DataChannel
		select {
		case far = <-received:
		case <-ctx.Done():
			t.Fatal("no channel")
		}
		for _, want := range []int{1000, 1000, 500} {
			if p, _, err := far.Receive(ctx); len(p) != want || err != nil {
				t.Errorf("%d bytes, %v, want %d", len(p), err, want)
			}
		}
	})
}

// A NetConn that is closed while the remote sends does not block the other channels,
// although the program does not read its data.
func TestNetConnCloseFreesTheWindow(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := connect(t, Config{}, ChannelOptions{})
		defer p.close()
		received := make(chan *DataChannel, 1)
		p.b.OnDataChannelReceived(func(ch *DataChannel) { received <- ch })
		other, err := p.a.OpenDataChannel("other", ChannelOptions{})
		if err != nil {
			t.Fatal(err)
		}
		far := <-received
		for p.x.PutPacket(make([]byte, 50_000)) == nil {
		}
		pause() // the receive window is closed
		c, err := p.y.NetConn()
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(c.Close(), other.PutPacket([]byte("x"))); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if b, _, err := far.Receive(ctx); string(b) != "x" {
			t.Errorf("on the other channel: %q, %v", b, err)
		}
		waitFor(t, "both ends are closed", func() bool {
			return p.x.ReadyState() == ChannelStateClosed && p.y.ReadyState() == ChannelStateClosed
		})
		runtime.KeepAlive(p)
	})
}

// A NetConn stays closed, whatever deadline is set after that.
func TestNetConnDeadlineAfterClose(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := connect(t, Config{}, ChannelOptions{})
		defer p.close()
		c, err := p.y.NetConn()
		if err != nil {
			t.Fatal(err)
		}
		p.net.setCut(true) // the channel cannot be closed by the remote
		c.Close()
		c.SetDeadline(time.Time{})
		start := time.Now()
		if n, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Read: %d, %v", n, err)
		}
		if n, err := c.Write(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write: %d, %v", n, err)
		}
		if took := time.Since(start); took > 0 {
			t.Errorf("Read and Write waited for %v", took)
		}
	})
}
