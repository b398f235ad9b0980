package rtcpeer

import (
	"math"
	"sync/atomic"
)

// DefaultHostMemory is the default of HostConfig.MemoryLimit in bytes. Half of it is
// common to all connections: 32 of them can receive at full speed, each with a window
// of 16 MiB, or 1,600 can have one of the longest messages each. The other half is
// divided into shares: with 10,000 connections 52 KiB each, which is a hundred
// channels and some messages; with 1,600 connections each share takes the longest
// message.
const DefaultHostMemory = 1 << 30

// minHostMemory is the least HostConfig.MemoryLimit: its halves are enough for one
// connection with the longest message of the default configuration.
const minHostMemory = 1 << 20

// handshakeMemory is what a connection counts for during set-up, in bytes: the objects
// of a handshake and its flights, and half of DTLS's limit for incomplete messages (48
// KiB), since the average is far below.
const handshakeMemory = 32 << 10

// A hostMemory counts what the remotes of all connections of a Host make it keep.
// While that is more than half of the limit, a connection may not exceed its share of
// the other half. So a connection below its share is never refused because of others,
// and all together stay below the limit, except for the datagrams of one read.
type hostMemory struct {
	limit int64
	used  atomic.Int64 // bytes
	peers atomic.Int64
}

// quota is how many bytes a transport may keep now.
func (m *hostMemory) quota() int {
	if m == nil || m.used.Load() <= m.limit/2 {
		return math.MaxInt
	}
	return int(m.limit / 2 / max(m.peers.Load(), 1))
}

// add charges n bytes, or releases them if n is negative.
func (m *hostMemory) add(n int) {
	if m != nil && n != 0 {
		m.used.Add(int64(n))
	}
}

// charge updates the Host's count of what this transport keeps.
func (p *peer) charge() {
	if p.memory == nil || p.closed {
		return
	}
	if !p.counted {
		p.counted = true
		p.memory.peers.Add(1)
	}
	if n, before := p.core.kept(), int(p.charged.Load()); n != before {
		p.memory.add(n - before)
		p.charged.Store(int64(n))
	}
}

// uncharge removes a closed transport from the count.
func (p *peer) uncharge() {
	if p.counted {
		p.counted = false
		p.memory.peers.Add(-1)
		p.memory.add(-int(p.charged.Swap(0)))
	}
}

// kept is how many bytes the remote makes the core keep.
func (p *core) kept() int {
	n := p.assoc.Memory().Used()
	for _, b := range p.early {
		n += len(b)
	}
	if p.dtls != nil && !p.dtls.Established() && !p.ended {
		n += handshakeMemory
	}
	return n
}
