package rtcpeer

import (
	"context"
	"runtime"
	"testing"
	"time"
	"weak"
)

// TestClosedIsCollected closes connections with handlers that refer to the handles of
// their channels, as in most programs. The connections are garbage-collected.
func TestClosedIsCollected(t *testing.T) {
	var closed []weak.Pointer[Conn]
	for range 3 {
		func() {
			n := newMemNet()
			a, b := newMemConn(t, n, "10.0.0.1", Config{}), newMemConn(t, n, "10.0.0.2", Config{})
			signalTo(t, a, b)
			signalTo(t, b, a)
			var x, y *DataChannel
			opened := make(chan bool, 1)
			b.OnDataChannelReceived(func(ch *DataChannel) {
				y = ch
				y.OnPacketReceived(func() { y.GetPacket() })
				opened <- true
			})
			x, err := a.CreateDataChannel("x", ChannelOptions{})
			if err != nil {
				t.Fatal(err)
			}
			x.OnStateChanged(func() { x.ReadyState() })
			a.OnStateChanged(func() { x.ReadyState() })
			a.CreateOffer()
			ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
			defer stop()
			go a.Run(ctx)
			go b.Run(ctx)
			select {
			case <-opened:
			case <-ctx.Done():
				t.Fatal("no connection")
			}
			a.Close()
			b.Close()
			closed = append(closed, weak.Make(a), weak.Make(b))
		}()
	}
	wantCollected(t, closed)
}

// wantCollected waits until these connections are no longer in memory.
func wantCollected(t *testing.T, closed []weak.Pointer[Conn]) {
	t.Helper()
	left := 0
	for range 100 {
		runtime.GC()
		left = 0
		for _, w := range closed {
			if w.Value() != nil {
				left++
			}
		}
		if left == 0 {
			return
		}
		<-time.After(10 * time.Millisecond) // the goroutines of Run have to end first
	}
	t.Errorf("%d of %d closed connections are still in memory", left, len(closed))
}
