package sctp

import "time"

// minPacedRTT is the shortest round trip of a path that is paced. On a shorter path
// acknowledgements arrive more often than a timer could fire, so they alone set the
// pace.
const minPacedRTT = time.Millisecond

// A shortPath replaces the pacer on paths with a round trip under minPacedRTT: loopback
// and local networks. There the time between a packet and its acknowledgement depends on
// the schedulers of the two ends, not on the path. Data in flight waits in the receiver's
// socket, not in a queue of the network, so the window bounds this wait. Three rules
// follow:
//
//  1. Acknowledgements are gathered. After the window was full, no data is sent until
//     half of it is free, or 48 KiB, which segmentation offload sends at once. Without
//     this rule each SACK would release as much data as it acknowledges, so that a burst
//     that is short once stays short. Each burst costs a system call and a wake-up at
//     both ends. The rule needs no timer: data in flight is acknowledged anyway, and if
//     it is lost, the tail loss probe is sent regardless of the rule.
//  2. While several streams send, less is in flight, because a small message waits at
//     the receiver behind everything in flight.
//  3. A small message of another stream than the one that fills the window need not
//     wait for the window.
type shortPath struct {
	filling   bool    // data may be sent until the window is full; set when enough of the window is free
	stream    uint16  // the stream that sent last
	changedAt instant // when the sending stream last changed; 0: never
}

const (
	// sharedWindow bounds the bytes in flight while several streams send: six or seven
	// datagrams of the longest size. It was chosen from 96, 112, 120, 128, 160 and 192
	// KB by the delay of pings while bulk data was sent, between two processes on two
	// processors.
	sharedWindow = 112 << 10

	// sharedTime is how long after a change of the sending stream several streams are
	// taken to be sending.
	sharedTime = int64(200 * time.Millisecond)

	// urgentRoom is the number of bytes by which small messages may exceed the window.
	urgentRoom = 8 << 10

	// maxGathered is the room in the window that is always enough to send: about as
	// much as segmentation offload takes in one call.
	maxGathered = 48 << 10
)

// onShortPath reports whether the path is too short to be paced.
func (s *sender) onShortPath() bool {
	return s.recovery.minRTT > 0 && s.recovery.minRTT < int64(minPacedRTT)
}

// sent notes which stream sends.
func (p *shortPath) sent(now instant, stream uint16) {
	if stream != p.stream {
		p.stream, p.changedAt = stream, now
	}
}

// windowOpen reports whether more data may be sent. smallNext says that the next
// message is small, and that its stream is not the stream of the waiting data.
func (p *shortPath) windowOpen(now instant, window, inFlight, queued int, lost, smallNext bool) bool {
	if p.changedAt != 0 && now-p.changedAt < sharedTime {
		window = min(window, sharedWindow)
	}
	room := window - inFlight
	gather := !p.filling && !lost && queued > room && room < min(window/2, maxGathered)
	if room > 0 && !gather {
		p.filling = true
		return true
	}
	if room >= -urgentRoom && smallNext {
		return true
	}
	p.filling = false
	return false
}

// smallMessageNext reports whether the next message is small, and its stream is not
// the stream of the waiting data.
func (s *sender) smallMessageNext() bool {
	if s.out.lost > 0 || len(s.queue.heap) < 2 {
		return false
	}
	m := s.queue.next().head
	return !m.started && len(m.data) <= urgentRoom/8
}
