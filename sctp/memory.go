package sctp

import "math"

// A remote makes an association keep data: messages that the program has not
// read, fragments of others, the state of streams, and the channels of the
// layers above. All of it is charged to one account, a Memory, at the cost of
// the Go objects that hold it.
//
// The account has two parts. The receive window is for DATA, and is announced to
// the remote, which has to respect it. The reserve is for everything else. It
// also takes DATA beyond the window where only more DATA can empty the window:
// chunks that fill gaps, and fragments while no message is complete.
//
// Buffers that the program gives back by Recycle are kept beside the account, up
// to 1 MiB, and so is what the program itself queues.
//
// What does not fit is refused where it arises:
//
//	DATA beyond the window                   dropped, as if it were lost
//	DATA when nothing but incomplete
//	messages fills window and reserve        ABORT, cause "out of resource"
//	a stream's number (FORWARD TSN, DATA)    ABORT, cause "out of resource"
//	room for the rest of a message           not taken: the message is copied more often
//	the reset of a stream not used yet       ErrMemory
//	a layer above                            as Charge's caller decides

// DefaultReserve is the reserve in bytes, unless Config.MemoryLimit makes it
// smaller: room for 50 incomplete messages of 256 KiB at once.
const DefaultReserve = 16 << 20

// Costs in bytes of the objects beside the data that they hold, as measured on
// 64-bit systems, with their share of maps, heaps and queues.
const (
	messageOverhead = 128 // a complete message, until Release
	runOverhead     = 320 // consecutive fragments of an incomplete message
	segmentOverhead = 48  // a further piece of those
	streamOverhead  = 96  // the numbers of an incoming stream
	resetOverhead   = 192 // an outgoing stream that is reset without having been used
)

// A Memory is the account of what the remote makes an association and the layers
// above it keep, in bytes. Its limit is the present receive window and the
// reserve.
type Memory struct {
	window, windowMax int // the receive window, and how far it may grow
	reserve           int
	quota             int // at most so many bytes in all at present; see SetQuota
	held              int // of messages from their completion to Release
	partial           int // of fragments, and of messages that wait for their order
	streams           int // of the numbers of streams, and room for fragments
	above             int // of the layers above
}

// newMemory returns the account of a configuration, whose MaxMessageSize is set.
func newMemory(cfg *Config) *Memory {
	m := &Memory{window: cfg.ReceiveBuffer, windowMax: cfg.ReceiveBuffer, reserve: DefaultReserve, quota: math.MaxInt}
	if cfg.ReceiveBuffer <= 0 {
		m.window, m.windowMax = defaultReceiveBuffer, maxReceiveWindow
	}
	// The largest message must fit with all that is charged for it.
	least := cfg.MaxMessageSize + cfg.MaxMessageSize/4
	if cfg.MemoryLimit > 0 {
		m.reserve = min(m.reserve, max(cfg.MemoryLimit, MinMemoryLimit(cfg.MaxMessageSize))/2)
		m.windowMax = min(m.windowMax, cfg.MemoryLimit-m.reserve)
	}
	m.window = max(min(m.window, m.windowMax), least)
	m.windowMax = max(m.windowMax, m.window)
	return m
}

// MinMemoryLimit is the least that Config.MemoryLimit can be where messages of
// maxMessageSize bytes are received.
func MinMemoryLimit(maxMessageSize int) int { return 2 * (maxMessageSize + maxMessageSize/4) }

// Used is how many bytes are charged.
func (m *Memory) Used() int { return m.held + m.partial + m.streams + m.above }

// Limit is how many bytes may be charged at present. It follows the receive
// window.
func (m *Memory) Limit() int { return m.window + m.reserve }

// SetQuota has nothing charged that makes more than n bytes in all, but for the
// rest of one message that all others wait for, until it is called again; math.MaxInt, the initial value, bounds nothing beside Limit. It is
// for a program that has many associations and less memory than all of their
// limits. The window that is announced follows with the next SACK. DATA beyond is
// dropped, as if it were lost, and does not end the association.
func (m *Memory) SetQuota(n int) { m.quota = n }

// squeezed reports whether the quota leaves no room.
func (m *Memory) squeezed() bool { return m.Used() >= m.quota }

// Reserve is how many bytes may be charged beside the receive window: a half by
// the layers above, and an eighth only for DATA.
func (m *Memory) Reserve() int { return m.reserve }

// Charge charges n bytes of a layer above. It reports whether they fit: if not,
// nothing is charged.
func (m *Memory) Charge(n int) bool {
	if m.above+n > m.reserve/2 || !m.fits(n) {
		return false
	}
	m.above += n
	return true
}

// Above is how many bytes the layers above have charged.
func (m *Memory) Above() int { return m.above }

// Uncharge gives back n bytes that Charge took.
func (m *Memory) Uncharge(n int) { m.above -= n }

// chargeStreams is Charge for the numbers of streams and room for fragments.
func (m *Memory) chargeStreams(n int) bool {
	if !m.fits(n) {
		return false
	}
	m.streams += n
	return true
}

func (m *Memory) unchargeStreams(n int) { m.streams -= n }

// fits reports whether there is room for n bytes that are not DATA.
func (m *Memory) fits(n int) bool {
	// A chunk is taken while the quota has room, and then needs a stream.
	return m.streams+m.above+n <= m.reserve-m.reserve/8 && m.Used()+n <= m.Limit() && m.Used()+n-streamOverhead <= m.quota
}

// data is how many bytes of DATA are charged.
func (m *Memory) data() int { return m.held + m.partial }

// windowLimit is how many bytes of DATA may be charged, fillers of gaps aside.
// With interleaving many large messages may be incomplete at once, and only more
// DATA can complete them: then the reserve is used, but for an eighth that is
// for fillers.
func (m *Memory) windowLimit() int {
	if m.held == 0 && m.partial > m.window/2 {
		return max(m.window, min(m.partial+m.window/2, m.Limit()-m.reserve/8-m.streams-m.above))
	}
	return m.window
}

// receiveWindow is the a_rwnd to announce.
func (m *Memory) receiveWindow() int {
	return max(min(m.windowLimit()-m.data(), m.quota-m.Used()), 0)
}
