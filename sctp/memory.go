package sctp

import "math"

// A remote can cause an association to keep data: messages that the program has not read,
// fragments of incomplete messages, the state of streams, and the channels of the layers
// above. All of this data is charged to one account, a Memory, at the size of the Go
// objects that hold it.
//
// The account has two parts. The receive window is for DATA and is announced to the
// remote, which has to respect it. The reserve is for everything else. It also takes DATA
// beyond the window where only more DATA can empty the window: chunks that fill gaps, and
// fragments while no message is complete.
//
// The account does not include buffers kept by Recycle, up to 1 MiB, and messages that the
// program itself queues.
//
// Data that does not fit is refused:
//
//	DATA beyond the window                   dropped, as if it were lost
//	DATA when only incomplete messages
//	fill window and reserve                  ABORT, cause "out of resource"
//	a stream's number (FORWARD TSN, DATA)    ABORT, cause "out of resource"
//	memory reserved for a message's rest     not reserved: the message is copied more often
//	the reset of an unused stream            ErrMemory
//	a layer above                            as Charge's caller decides

// DefaultReserve is the reserve in bytes, unless Config.MemoryLimit makes it smaller. It
// is enough for 50 incomplete messages of 256 KiB.
const DefaultReserve = 16 << 20

// Sizes in bytes of objects without the data that they hold, measured on 64-bit systems,
// with their share of maps, heaps and queues.
const (
	messageOverhead = 128 // a complete message, until Release
	runOverhead     = 320 // consecutive fragments of an incomplete message
	segmentOverhead = 48  // a further segment of a run
	streamOverhead  = 96  // the state of an incoming stream
	resetOverhead   = 192 // an outgoing stream that is reset but was never used
)

// A Memory is the account, in bytes, of the data that the remote causes an association
// and the layers above it to keep. Its limit is the present receive window plus the
// reserve.
type Memory struct {
	window, windowMax int // the receive window, and the size to which it may grow
	reserve           int
	quota             int // upper limit of Used, see SetQuota
	held              int // complete messages, until Release
	partial           int // fragments, and messages that wait for their order
	streams           int // state of streams, and memory reserved for fragments
	above             int // what the layers above have charged
}

// newMemory returns the account for a configuration with MaxMessageSize set.
func newMemory(cfg *Config) *Memory {
	m := &Memory{window: cfg.ReceiveBuffer, windowMax: cfg.ReceiveBuffer, reserve: DefaultReserve, quota: math.MaxInt}
	if cfg.ReceiveBuffer <= 0 {
		m.window, m.windowMax = defaultReceiveBuffer, maxReceiveWindow
	}
	// The longest message must fit with everything that is charged for it.
	least := cfg.MaxMessageSize + cfg.MaxMessageSize/4
	if cfg.MemoryLimit > 0 {
		m.reserve = min(m.reserve, max(cfg.MemoryLimit, MinMemoryLimit(cfg.MaxMessageSize))/2)
		m.windowMax = min(m.windowMax, cfg.MemoryLimit-m.reserve)
	}
	m.window = max(min(m.window, m.windowMax), least)
	m.windowMax = max(m.windowMax, m.window)
	return m
}

// MinMemoryLimit returns the least value of Config.MemoryLimit. maxMessageSize is
// Config.MaxMessageSize.
func MinMemoryLimit(maxMessageSize int) int { return 2 * (maxMessageSize + maxMessageSize/4) }

// Used returns how many bytes are charged.
func (m *Memory) Used() int { return m.held + m.partial + m.streams + m.above }

// Limit returns how many bytes may be charged at present. It grows with the receive
// window.
func (m *Memory) Limit() int { return m.window + m.reserve }

// SetQuota limits the bytes that may be charged in total to n. With math.MaxInt, the
// initial value, only Limit applies. A quota is for a program that has many
// associations and less memory than the sum of their limits. The next SACK announces
// the smaller window. DATA beyond the quota is dropped, as if it were lost, and does
// not end the association. The only exception is the missing part of a message that
// all other received messages wait for.
func (m *Memory) SetQuota(n int) { m.quota = n }

// squeezed reports whether the quota is used up.
func (m *Memory) squeezed() bool { return m.Used() >= m.quota }

// Reserve returns how many bytes may be charged in addition to the receive window. The
// layers above may charge half of it. An eighth of it is only for DATA.
func (m *Memory) Reserve() int { return m.reserve }

// Charge charges n bytes for a layer above. It reports whether the bytes fit. If they
// do not fit, it charges nothing.
func (m *Memory) Charge(n int) bool {
	if m.above+n > m.reserve/2 || !m.fits(n) {
		return false
	}
	m.above += n
	return true
}

// Above returns how many bytes the layers above have charged.
func (m *Memory) Above() int { return m.above }

// Uncharge undoes Charge.
func (m *Memory) Uncharge(n int) { m.above -= n }

// chargeStreams is like Charge, for the state of streams and for memory reserved for
// fragments.
func (m *Memory) chargeStreams(n int) bool {
	if !m.fits(n) {
		return false
	}
	m.streams += n
	return true
}

func (m *Memory) unchargeStreams(n int) { m.streams -= n }

// fits reports whether n bytes that are not DATA fit.
func (m *Memory) fits(n int) bool {
	// Used may exceed the quota by one streamOverhead, because a chunk within the
	// quota may still need the state of its stream.
	return m.streams+m.above+n <= m.reserve-m.reserve/8 && m.Used()+n <= m.Limit() && m.Used()+n-streamOverhead <= m.quota
}

// data returns how many bytes of DATA are charged.
func (m *Memory) data() int { return m.held + m.partial }

// windowLimit returns how many bytes of DATA may be charged, apart from chunks that
// fill gaps. With interleaving, many long messages may be incomplete at a time, and
// only more DATA can complete them. In that case the reserve is used too, except for
// the eighth that is kept for chunks that fill gaps.
func (m *Memory) windowLimit() int {
	if m.held == 0 && m.partial > m.window/2 {
		return max(m.window, min(m.partial+m.window/2, m.Limit()-m.reserve/8-m.streams-m.above))
	}
	return m.window
}

// receiveWindow returns the a_rwnd to announce.
func (m *Memory) receiveWindow() int {
	return max(min(m.windowLimit()-m.data(), m.quota-m.Used()), 0)
}
