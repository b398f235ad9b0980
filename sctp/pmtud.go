package sctp

import (
	"encoding/binary"
	"time"
)

// Packetization layer path MTU discovery for datagrams (RFC 8899; §6.2 is about SCTP).
// A probe is a HEARTBEAT that a PAD chunk (RFC 4820) fills up to the size in question.
// The path carries that size if the HEARTBEAT is answered. A remote that does not know
// PAD skips it silently, as the upper bits of its type demand.
//
// The PAD chunk is first, unlike in RFC 8899 §6.2.1.2. Chromium reads 2048 bytes of a
// DTLS record and takes the rest for another packet. It would answer a HEARTBEAT at the
// beginning, and then lose every longer packet. So the answer has to show that the end
// of the packet arrived.
//
// A longer packet carries more chunks, not larger ones. A chunk keeps its TSN, so it
// could not be cut again if the path became narrower. So a black hole costs
// retransmissions, never a message.
//
//	short     packets are shorter than AppendPacket's limit, which the path may not
//	          carry; larger sizes are tried immediately
//	base      no size is tried before the program sends enough to gain by it
//	search    one probe at a time, up a list of sizes that paths have
//	complete  for ten minutes; then the next size is tried again

const (
	probeTries    = 3                // RFC 8899 §5.1.2: MAX_PROBES
	raiseInterval = 10 * time.Minute // RFC 8899 §5.1.1: PMTU_RAISE_TIMER

	// probeAfter is how many bytes must have been delivered before a search begins.
	// The rate of delivery is averaged over as many bytes.
	probeAfter = 256 << 10

	// blackHoleTimeouts is how many consecutive timeouts show that packets of the size
	// found may no longer pass (RFC 8899 §4.3).
	blackHoleTimeouts = 2
)

// probeSizes are the sizes of datagrams, without IP and UDP headers, that fit into
// usual MTUs: 1000 and 1200 bytes over IPv4, the base, 1500 bytes over IPv6 and over
// IPv4, jumbo frames of 4 and 9 KB, and the longest DTLS record on a 64 KiB loopback.
var probeSizes = [...]int{972, 1172, assumedDatagram, 1452, 1472, 4096, 8932, 16000}

const (
	// shortestDatagram is the length of a datagram that every IPv4 path carries: 576
	// bytes (RFC 791 §3.1) less the IP and UDP headers.
	shortestDatagram = 548

	// leastPacket is the lowest limit of a packet's size: shortestDatagram less all
	// headers that may be around a packet.
	leastPacket = 450

	// ethernetDatagram is the largest of probeSizes that needs no jumbo frames.
	ethernetDatagram = 1472

	// assumedDatagram is the assumed length of the datagram that carries a packet of
	// AppendPacket's limit. The probe for a datagram of n bytes is n - assumedDatagram
	// bytes longer than that limit.
	assumedDatagram = 1200
)

// A pmtud is the search for the path MTU. Sizes are relative to AppendPacket's limit.
type pmtud struct {
	most   int // bytes beyond the limit that may be tried; 0: off
	found  int // bytes beyond the limit that the path carries
	limit  int // limit in the last call of AppendPacket
	nonce  uint64
	timer  instant // when the probe under way is given up, or the pause after a search ends
	out    bool    // a probe is under way
	send   bool    // a probe is to be sent with the next packet
	tries  uint8   // unanswered probes of the present size
	next   uint8   // index of the present size in probeSizes
	silent uint16  // consecutive retransmission timeouts
	short  uint16  // bytes that packets are shorter than the limit; found is 0 then

	holedAt instant // when packets of the size found last stopped passing; 0: never
	again   bool    // at holedAt, packets had stopped passing for the second time in a short time

	pace     float64 // bytes delivered a second; 0 until measured
	measured instant // when the present measurement began; 0: it has not begun
	from     int64   // total bytes delivered when the measurement began
}

// shorten makes packets n bytes shorter than the limit, until probes show that the
// path carries more.
func (p *pmtud) shorten(now instant, n int) {
	p.found, p.next = 0, 0
	p.short = uint16(min(max(n, 0), assumedDatagram-shortestDatagram))
	p.consider(now)
}

// restart restarts the search from sizes known to pass.
func (p *pmtud) restart(now instant, most int) {
	*p = pmtud{most: most, limit: p.limit, short: p.short}
	if p.short > 0 {
		p.consider(now)
	}
}

// packetLimit returns the longest length of a packet. limit is the limit given to
// AppendPacket.
func (p *pmtud) packetLimit(now instant, limit int) int {
	if limit != p.limit {
		p.limit = limit
		p.restart(now, p.most) // the path or the framing around packets has changed
	}
	short := max(limit-int(p.short), min(limit, leastPacket))
	return min(short+p.found, maxPacketSize)
}

// progress notes that data was acknowledged. delivered is the total number of bytes
// acknowledged so far.
func (p *pmtud) progress(now instant, delivered int64, srtt time.Duration) {
	p.silent = 0
	p.measurePace(now, delivered, srtt)
	p.consider(now)
}

// measurePace averages the rate of delivery over at least probeAfter bytes and a round
// trip. Over a shorter time it would measure the burst that a queue or a policer lets
// pass.
func (p *pmtud) measurePace(now instant, delivered int64, srtt time.Duration) {
	n, elapsed := delivered-p.from, now-p.measured
	if p.measured != 0 {
		if n < probeAfter || elapsed < max(int64(srtt), 1) {
			return
		}
		p.pace = float64(n) / float64(elapsed) * 1e9
	}
	p.from, p.measured = delivered, now
}

// consider starts a probe if a larger size would help. After two black holes in a short
// time, sizes beyond the limit are not tried for a while.
func (p *pmtud) consider(now instant) {
	if p.out || p.send || p.timer != 0 || p.short == 0 && (p.most == 0 || p.pace == 0) {
		return
	}
	for int(p.next) < len(probeSizes) && probeSizes[p.next]-assumedDatagram <= p.found-int(p.short) {
		p.next++
	}
	if int(p.next) == len(probeSizes) {
		return
	}
	beyond := probeSizes[p.next] - assumedDatagram
	banned := beyond > 0 && p.again && now-p.holedAt < int64(raiseInterval)
	p.send = beyond <= p.most && !banned && p.worthwhile(probeSizes[p.next])
}

// worthwhile reports whether datagrams of a size suit the rate of delivery. Jumbo frames
// save work where much is sent. On a slow path the least window, four packets, would be
// longer than the path's queue.
func (p *pmtud) worthwhile(size int) bool {
	return size <= ethernetDatagram || p.pace*pacingBurst.Seconds() >= float64(size)
}

// postpone gives up the probe that is due, until raiseInterval has passed.
func (p *pmtud) postpone(now instant) { p.send, p.timer = false, now+int64(raiseInterval) }

// appendProbe appends the probe that is due to a common header that begins at start.
func (p *pmtud) appendProbe(now instant, b []byte, start, limit int, nonce [8]byte, timeout time.Duration) []byte {
	p.send, p.out = false, true
	p.timer = now + int64(timeout)
	p.nonce = binary.BigEndian.Uint64(nonce[:])
	const heartbeat = chunkHeaderSize + paramHeaderSize + len(nonce)
	end := start + p.sizeWith(limit)
	b, chunk := beginChunk(b, chunkPad, 0)
	b = endChunk(append(b, zeros[:max(end-heartbeat-len(b), 0)]...), chunk)
	b, chunk = beginChunk(b, chunkHeartbeat, 0)
	return endChunk(appendParam(b, paramHeartbeatInfo, nonce[:]), chunk)
}

// sizeWith returns the length of the probe under way, or of the next probe, with a limit
// of AppendPacket.
func (p *pmtud) sizeWith(limit int) int { return (limit + probeSizes[p.next] - assumedDatagram) &^ 3 }

// probeSize returns the length of the probe under way; 0: there is none.
func (p *pmtud) probeSize() int {
	if !p.out {
		return 0
	}
	return p.sizeWith(p.limit)
}

// zeros fills PAD chunks. It is never written.
var zeros [16384]byte

// answered takes the nonce of a HEARTBEAT ACK. It reports whether the nonce is that of
// the probe under way.
func (p *pmtud) answered(now instant, nonce uint64) bool {
	if !p.out || nonce != p.nonce {
		return false
	}
	beyond := probeSizes[p.next] - assumedDatagram
	p.found, p.short = max(beyond, 0), uint16(max(-beyond, 0))
	p.out, p.tries, p.silent, p.timer = false, 0, 0, 0
	p.consider(now)
	return true
}

// timeout ends a pause, or gives up a probe that was not answered.
func (p *pmtud) timeout(now instant) {
	if p.out {
		p.out = false
		if p.tries++; p.tries >= probeTries {
			p.tries = 0
			p.timer = now + int64(raiseInterval)
			return
		}
	}
	p.consider(now)
}

// checkBlackHole takes note of a retransmission timeout. Timeouts do not show whether
// shorter packets would have passed; mostly the path is down. So the search restarts
// immediately. If the path carries less than before, the search costs three probes. If
// packets stop passing again soon, larger sizes are not tried for a while.
func (p *pmtud) checkBlackHole(now instant) {
	if p.silent++; p.silent < blackHoleTimeouts || p.found == 0 {
		return // too few timeouts; or packets have the base size already, and their chunks cannot be cut again
	}
	last := p.holedAt
	p.restart(now, p.most)
	p.holedAt, p.again = now, last != 0 && now-last < int64(raiseInterval)
}
