package sctp

import (
	"encoding/binary"
	"time"
)

// Packetization layer path MTU discovery for datagrams (RFC 8899, §6.2 of
// which is SCTP's): a HEARTBEAT, filled up by a PAD chunk (RFC 4820) to the
// size in question, is answered if the path carries it. A far end that does
// not know PAD skips it without a word, as the upper bits of its type say.
//
// The PAD chunk goes first, other than RFC 8899 §6.2.1.2 has it. Chromium reads
// 2048 bytes of a DTLS record, and takes the rest for another packet: what
// comes first it would answer, and then lose all that is longer. So the answer
// is to tell that the end has arrived.
//
// A larger packet carries more chunks, not larger ones: a chunk has its TSN for
// good and could not be cut anew if the path became narrower. So a black hole
// costs some retransmissions, never a message.
//
//	short     packets are shorter than AppendPacket's limit, which the path is not
//	          known to carry; longer ones are tried at once
//	base      nothing is tried before the program sends enough to gain by it
//	search    one probe at a time, up a list of sizes that paths have
//	complete  for ten minutes, then the next size is tried again

const (
	probeTries    = 3                // RFC 8899 §5.1.2: MAX_PROBES
	raiseInterval = 10 * time.Minute // RFC 8899 §5.1.1: PMTU_RAISE_TIMER

	// probeAfter is how much must have been delivered before it is worth while,
	// and how much the pace is taken of.
	probeAfter = 256 << 10

	// blackHoleTimeouts is how many timeouts in succession mean that packets of
	// the size found do not pass any more (RFC 8899 §4.3).
	blackHoleTimeouts = 2
)

// probeSizes are datagrams that paths carry: 1000 and 1200 bytes over IPv4, the
// base, 1500 bytes over IPv6 and IPv4, jumbo frames, and what a DTLS record and a
// 64 KiB loopback allow. Between them there is little.
var probeSizes = [...]int{972, 1172, assumedDatagram, 1452, 1472, 4096, 8932, 16000}

// shortestDatagram is what every path of IPv4 carries: 576 bytes (RFC 791 §3.1),
// less IP and UDP headers.
const shortestDatagram = 548

// leastPacket is how short packets become at most, however short the limit is:
// shortestDatagram with all that may be put around a packet.
const leastPacket = 450

// ethernetDatagram is the longest of probeSizes that is not for jumbo frames.
const ethernetDatagram = 1472

// assumedDatagram is what a packet at the limit of AppendPacket makes with all
// that is put around it; probeSizes are beyond it by so much.
const assumedDatagram = 1200

// A pmtud is the search, in bytes beyond the limit of AppendPacket.
type pmtud struct {
	most   int // that may be tried; 0: off
	found  int
	limit  int // of the last AppendPacket
	nonce  uint64
	out    bool // a probe is under way
	send   bool
	tries  uint8
	next   uint8  // index in probeSizes
	silent uint16 // timeouts in succession
	short  uint16 // bytes that packets are shorter than the limit; found is 0 then
	again  bool   // … and that was soon after the one before
	holed  int64  // when that was taken for a black hole last; 0: never

	pace  float64 // bytes delivered a second, the last time; 0: not yet known
	from  int64   // of the next time, in bytes delivered
	since int64   // … and when that was; 0: it has not begun
}

// DiscoverPacketSize lets packets be up to extra bytes longer than AppendPacket
// is told, as far as probing shows that the path carries them. Datagrams must
// not be fragmented below. 0, as at the beginning, turns it off.
func (a *Association) DiscoverPacketSize(extra int) {
	if p := &a.pmtud; p.most != extra {
		a.restartDiscovery(extra)
	}
}

// AssumeShorter makes packets n bytes shorter than AppendPacket is told, until
// probing shows that the path carries the limit, or something between. It is for
// an owner who does not know that the limit passes. The difference is bounded
// so that a datagram of 548 bytes, which every path of IPv4 carries, stays in use.
func (a *Association) AssumeShorter(n int) {
	a.pmtud.shorten(n)
	a.considerProbe(0)
}

// shorten makes packets shorter than the limit.
func (p *pmtud) shorten(n int) {
	p.found, p.next = 0, 0
	p.short = uint16(min(max(n, 0), assumedDatagram-shortestDatagram))
}

// restartDiscovery begins anew, from what is known to pass.
func (a *Association) restartDiscovery(most int) {
	a.pmtud = pmtud{most: most, limit: a.pmtud.limit, short: a.pmtud.short}
	a.timers.pmtud = time.Time{}
	if a.pmtud.short > 0 {
		a.considerProbe(0)
	}
}

// packetLimit is how long a packet may be, where limit is known to pass.
func (a *Association) packetLimit(limit int) int {
	p := &a.pmtud
	if limit != p.limit {
		p.limit = limit
		a.restartDiscovery(p.most) // another path, or other framing
	}
	short := max(limit-int(p.short), min(limit, leastPacket))
	return min(short+p.found, maxPacketSize)
}

// measurePace takes the mean rate of delivery, of probeAfter bytes and a round
// trip at least: a burst that a queue or a policer lets pass is no pace.
func (a *Association) measurePace(now int64) {
	p := &a.pmtud
	n, elapsed := a.rate.delivered-p.from, now-p.since
	if p.since != 0 && (n < probeAfter || elapsed < max(int64(a.rto.srtt), 1)) {
		return
	}
	if p.since != 0 {
		p.pace = float64(n) / float64(elapsed) * 1e9
	}
	p.from, p.since = a.rate.delivered, now
}

// considerProbe begins the search when there is something to gain. What is
// longer than the base is not tried for a while after two black holes.
func (a *Association) considerProbe(now int64) {
	p := &a.pmtud
	if p.out || p.send || !a.timers.pmtud.IsZero() || p.short == 0 && (p.most == 0 || p.pace == 0) {
		return
	}
	for int(p.next) < len(probeSizes) && probeSizes[p.next]-assumedDatagram <= p.found-int(p.short) {
		p.next++
	}
	if int(p.next) == len(probeSizes) {
		return
	}
	beyond := probeSizes[p.next] - assumedDatagram
	banned := beyond > 0 && p.again && now-p.holed < int64(raiseInterval)
	p.send = beyond <= p.most && !banned && p.worthwhile(probeSizes[p.next])
}

// worthwhile reports whether datagrams of a size suit the pace. Those longer than
// Ethernet's spare work where there is much to send; on a slow path the least
// window, of four, would be longer than its queue.
func (p *pmtud) worthwhile(size int) bool {
	return size <= ethernetDatagram || p.pace*pacingBurst.Seconds() >= float64(size)
}

// appendProbe appends the packet of a probe, if one is due.
func (a *Association) appendProbe(now time.Time, dst []byte, limit int) (b []byte, ok bool) {
	p := &a.pmtud
	if !p.send || !a.transferring() {
		return dst, false
	}
	p.send = false
	var nonce [8]byte
	if !a.random(nonce[:]) {
		a.timers.pmtud = now.Add(raiseInterval)
		return dst, false
	}
	p.out = true
	a.timers.pmtud = now.Add(a.rto.timeout(rtoMin))
	p.nonce = binary.BigEndian.Uint64(nonce[:])
	const heartbeat = chunkHeaderSize + paramHeaderSize + len(nonce)
	b = appendCommonHeader(dst, a.cfg.LocalPort, a.cfg.RemotePort, a.peerTag)
	end := len(dst) + (limit+probeSizes[p.next]-assumedDatagram)&^3
	b, start := beginChunk(b, chunkPad, 0)
	b = endChunk(append(b, zeros[:max(end-heartbeat-len(b), 0)]...), start)
	b, start = beginChunk(b, chunkHeartbeat, 0)
	b = endChunk(appendParam(b, paramHeartbeatInfo, nonce[:]), start)
	return a.finish(b, len(dst), !a.zeroChecksum()), true
}

// zeros fills PAD chunks; it is never written.
var zeros [16384]byte

// probeAnswered takes the answer to a HEARTBEAT, if it was a probe's.
func (a *Association) probeAnswered(now int64, nonce uint64) bool {
	p := &a.pmtud
	if !p.out || nonce != p.nonce {
		return false
	}
	beyond := probeSizes[p.next] - assumedDatagram
	p.found, p.short = max(beyond, 0), uint16(max(-beyond, 0))
	p.out, p.tries, p.silent = false, 0, 0
	a.timers.pmtud = time.Time{}
	a.considerProbe(now)
	return true
}

// sizeTimeout is a probe that was not answered, or the end of a pause.
func (a *Association) sizeTimeout(now time.Time) {
	p := &a.pmtud
	if p.out {
		p.out = false
		if p.tries++; p.tries >= probeTries {
			p.tries = 0
			a.timers.pmtud = now.Add(raiseInterval)
			return
		}
	}
	a.considerProbe(a.clock(now))
}

// checkBlackHole is told of every timeout of retransmission. Whether shorter
// packets would have passed timeouts do not tell, and mostly it is an outage. So
// the search begins anew at once: if the path has become narrower, it ends with
// three probes. When it happens again soon, probes are not to be believed for a
// while.
func (a *Association) checkBlackHole(now time.Time) {
	p := &a.pmtud
	if p.silent++; p.silent < blackHoleTimeouts || p.found == 0 {
		return // chunks of the base cannot be cut anew
	}
	last, at := p.holed, a.clock(now)
	a.restartDiscovery(p.most)
	p.holed, p.again = at, last != 0 && at-last < int64(raiseInterval)
}
