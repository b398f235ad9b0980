package rtcpeer

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"purertc/sctp"
)

// Connections with unread data fill a Host's memory. Together they stay below the
// limit. A connection below its share is not refused anything, and refused data
// arrives when there is room.
func TestHostMemory(t *testing.T) {
	const (
		limit   = 8 << 20
		hostile = 12
		peers   = hostile + 2
		size    = 20_000
	)
	h, err := NewHost(HostConfig{Addr: "127.0.0.1:0", MemoryLimit: limit})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	var conns [peers]*Conn
	var xs, ys [peers]*DataChannel
	for i := range conns {
		_, conns[i], xs[i], ys[i] = realPairOf(t, Config{}, Config{Host: h})
	}
	const messages = 3 << 20 / size // number of messages of each connection
	for i := range hostile {
		for range messages {
			if err := xs[i].PutPacket(make([]byte, size)); err != nil {
				t.Fatal(err)
			}
		}
	}
	full := func() bool { return h.memory.used.Load() > limit/2 }
	waitReal(t, 20*time.Second, "half of the limit is used", full)
	for range 5 {
		for i := hostile; i < peers; i++ {
			transfer(t, xs[i], ys[i])
		}
	}
	const read = 70_000 + peers*size // maximum of one read: datagrams with their overhead, and a message that waits
	if used := h.memory.used.Load(); used > limit+read || !full() {
		t.Errorf("%d bytes are charged, at most %d", used, limit)
	}
	if n := h.memory.connections.Load(); n != peers {
		t.Errorf("%d peers are counted", n)
	}
	for i := range hostile {
		for n := range messages {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // several retransmission timeouts, because data beyond the quota was dropped
			defer cancel()
			if _, _, err := ys[i].Receive(ctx); err != nil {
				t.Fatalf("peer %d, message %d: %v", i, n, err)
			}
		}
	}
	for _, c := range conns {
		c.Close()
	}
	waitReal(t, 10*time.Second, "everything is given back", func() bool {
		return h.memory.used.Load() == 0 && h.memory.connections.Load() == 0
	})
}

// While half of the limit is used, a connection has its share of the other half.
func TestHostQuota(t *testing.T) {
	m := &hostMemory{limit: 1 << 20}
	m.connections.Store(4)
	for used, want := range map[int]int{0: math.MaxInt, 1 << 19: math.MaxInt, 1<<19 + 1: 1 << 17, 1 << 21: 1 << 17} {
		m.used.Store(int64(used))
		if n := m.quota(); n != want {
			t.Errorf("with %d bytes used, a peer may have %d, want %d", used, n, want)
		}
	}
	m.connections.Store(0)
	m.used.Store(1 << 20)
	if n := m.quota(); n != 1<<19 {
		t.Errorf("the first peer may have %d bytes", n)
	}
	var none *hostMemory
	if none.add(1); none.quota() != math.MaxInt {
		t.Error("a peer without a Host is bounded")
	}
	// The default is large enough that each of 1,600 connections can have one message
	// of maximum length.
	if share := DefaultHostMemory / 2 / 1600; share < sctp.MinMemoryLimit(defaultMaxMessageSize)/2 {
		t.Errorf("a share of %d bytes", share)
	}
	for _, limit := range []int{-1, minHostMemory - 1} {
		if _, err := NewHost(HostConfig{Addr: "127.0.0.1:0", MemoryLimit: limit}); !errors.Is(err, ErrInvalidParameter) {
			t.Errorf("MemoryLimit %d: %v", limit, err)
		}
	}
}

// A connection is counted during set-up, together with the datagrams that arrive
// before its handshake.
func TestConnectingPeersAreCharged(t *testing.T) {
	h, err := NewHost(HostConfig{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	a, b, kept, _ := dialHost(t, h)
	defer a.Close()
	defer kept.Close()
	a.Poll() // b receives the offer and answers
	b.Poll()
	p := b.ext.(*stack).transport
	p.mu.Lock()
	charged := p.memory.bytes.Load()
	p.mu.Unlock()
	if charged < handshakeMemory || h.memory.used.Load() < handshakeMemory || h.memory.connections.Load() != 1 {
		t.Errorf("%d bytes are charged for a handshake, %d of %d peers in all", charged, h.memory.used.Load(), h.memory.connections.Load())
	}
	b.Close()
	if n := h.memory.used.Load(); n != 0 || h.memory.connections.Load() != 0 {
		t.Errorf("%d bytes of %d peers stay charged", n, h.memory.connections.Load())
	}
}
