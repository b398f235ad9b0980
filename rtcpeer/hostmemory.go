package rtcpeer

import (
	"math"
	"sync/atomic"
)

// DefaultHostMemory is HostConfig.MemoryLimit's default in bytes. Half of it is
// what all peers have in common: 32 of them can receive at full speed, each with
// a window of 16 MiB, or 1,600 have one of the longest messages each. The other
// half is shares: with 10,000 peers 52 KiB each, which is a hundred channels, and
// some messages that wait; with 1,600 peers each share takes the longest message.
const DefaultHostMemory = 1 << 30

// minHostMemory is the least of HostConfig.MemoryLimit: the two halves of a Host
// with a single peer take the longest message of the default configuration.
const minHostMemory = 1 << 20

// handshakeMemory is what a peer counts for while it connects, in bytes: the
// objects of a handshake and its flights, and half of what DTLS keeps at most of
// messages that are not complete (48 KiB), since the average is far below.
const handshakeMemory = 32 << 10

// A hostMemory is what the remotes of all peers of a Host make it keep. While
// that is more than half of the limit, a peer is given nothing that makes it
// exceed its share of the other half. So a peer below its share is never
// refused because of what others keep, and all together stay below the limit,
// but for what the datagrams of one read bring.
type hostMemory struct {
	limit int64
	used  atomic.Int64 // bytes
	peers atomic.Int64
}

// quota is how many bytes a peer may keep at present.
func (m *hostMemory) quota() int {
	if m == nil || m.used.Load() <= m.limit/2 {
		return math.MaxInt
	}
	return int(m.limit / 2 / max(m.peers.Load(), 1))
}

// add charges n bytes, or gives them back where n is negative.
func (m *hostMemory) add(n int) {
	if m != nil && n != 0 {
		m.used.Add(int64(n))
	}
}

// charge has the Host's account follow what the peer keeps.
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

// uncharge takes a peer that is closed out of the account.
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
