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
	limit       int64
	used        atomic.Int64 // bytes
	connections atomic.Int64
}

// quota is how many bytes a transport may keep now.
func (m *hostMemory) quota() int {
	if m == nil || m.used.Load() <= m.limit/2 {
		return math.MaxInt
	}
	return int(m.limit / 2 / max(m.connections.Load(), 1))
}

// add charges n bytes, or releases them if n is negative.
func (m *hostMemory) add(n int) {
	if m != nil && n != 0 {
		m.used.Add(int64(n))
	}
}

// A memoryCharge is what one transport counts for in its Host's memory.
type memoryCharge struct {
	host    *hostMemory  // nil: none
	counted bool         // in host.connections
	bytes   atomic.Int64 // of host.used
}

// set updates the charge to n bytes.
func (m *memoryCharge) set(n int) {
	if m.host == nil {
		return
	}
	if !m.counted {
		m.counted = true
		m.host.connections.Add(1)
	}
	if before := int(m.bytes.Load()); n != before {
		m.host.add(n - before)
		m.bytes.Store(int64(n))
	}
}

// release removes a closed transport from the count.
func (m *memoryCharge) release() {
	if m.counted {
		m.counted = false
		m.host.connections.Add(-1)
		m.host.add(-int(m.bytes.Swap(0)))
	}
}

// room returns how many more bytes may be queued for the transport.
func (m *memoryCharge) room() int { return m.host.quota() - int(m.bytes.Load()) }

// kept is how many bytes the remote makes the core keep.
func (c *core) kept() int {
	n := c.assoc.Memory().Used()
	for _, b := range c.early {
		n += len(b)
	}
	if c.dtls != nil && !c.dtls.Established() && !c.ended() {
		n += handshakeMemory
	}
	return n
}
