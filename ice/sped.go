package ice

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
	"time"

	"purertc/stun"
)

// SPED (draft-hancke-webrtc-sped): connectivity checks and their responses carry the
// flights of the DTLS handshake, which saves the round trip of the checks. Two
// attributes do it. DTLS-IN-STUN holds one DTLS datagram, or nothing. DTLS-IN-STUN-ACK
// lists the CRC-32 of the datagrams that have arrived in DTLS-IN-STUN. A message of a
// remote agent that does not know SPED has neither attribute.
//
// The owner gives the agent the datagrams of the present flight (CarryDatagram), until
// a pair is selected. After that, the owner sends flights directly. HandleDatagram
// returns the datagrams that arrive.

const (
	// maxCarried is how many datagrams of a flight are carried. A flight with
	// post-quantum keys has two, or six if datagrams are as short as IPv4 allows.
	maxCarried = 8
	// maxFlightAcks is how many datagrams DTLS-IN-STUN-ACK acknowledges, the newest.
	// The draft recommends no more.
	maxFlightAcks = 4
	// maxFlightsReceived is how many received datagrams are remembered, so that a
	// repeated one is not handled again.
	maxFlightsReceived = 8
	// maxRemoteAcks is how many acknowledgements of one message are read.
	maxRemoteAcks = 16
	// maxPushes limits the additional checks of one connection. A client pushes on each
	// pair, because it is not known which pair works.
	maxPushes = 16
	// maxCarryingResponses limits the responses of one connection that carry a datagram,
	// and are longer than the request. Without the two limits, a remote agent could
	// direct many long datagrams to an address that it forges in short requests.
	maxCarryingResponses = 32
	// maxCarriers is how many of the latest requests that were answered with a datagram
	// are remembered.
	maxCarriers = 8
)

// A spedState says whether flights are carried.
type spedState uint8

const (
	spedOff    spedState = iota // the owner does not want SPED
	spedSilent                  // it is not known that the remote agent has SPED, so messages have no attributes
	spedActive                  // the remote agent has SPED, as far as it is known
	spedEnding                  // the local handshake is over; the remote agent may lack the last acknowledgements
	spedOver                    // both handshakes are over
)

// carriedFlight holds the datagrams of the local flight that the remote agent has not
// acknowledged, and the acknowledgements of the remote flight.
type carriedFlight struct {
	state spedState
	used  bool // a datagram has arrived, or was acknowledged

	datagrams []carriedDatagram
	next      int // index of the datagram that is carried next
	pushes    int // number of additional checks so far
	responses int // number of responses so far that could carry a datagram

	received [maxFlightsReceived]uint32 // CRC-32 of the latest datagrams that have arrived, the oldest first
	count    int                        // number of elements of received

	answered [maxCarriers]stun.TransactionID // requests that were answered with a datagram
	nextSlot int                             // index in answered of the oldest request
}

// A carriedDatagram is a datagram of the local flight.
type carriedDatagram struct {
	b    []byte
	sum  uint32 // CRC-32 of b
	sent bool
}

// active reports whether messages have the attributes of SPED.
func (f *carriedFlight) active() bool { return f.state == spedActive || f.state == spedEnding }

// carry adds a copy of a datagram to the flight.
func (f *carriedFlight) carry(b []byte) {
	f.datagrams = append(f.datagrams, carriedDatagram{b: slices.Clone(b), sum: crc32.ChecksumIEEE(b)})
}

// drop drops the flight: the remote agent has it, or the owner sends it directly.
func (f *carriedFlight) drop() { f.datagrams, f.next = nil, 0 }

// unsent reports whether a datagram of the flight was not sent so far.
func (f *carriedFlight) unsent() bool {
	return slices.ContainsFunc(f.datagrams, func(d carriedDatagram) bool { return !d.sent })
}

// takeUnsent returns the first datagram that was not sent so far, and notes it as sent.
func (f *carriedFlight) takeUnsent() (b []byte, ok bool) {
	for i := range f.datagrams {
		if d := &f.datagrams[i]; !d.sent {
			d.sent = true
			return d.b, true
		}
	}
	return nil, false
}

// pick returns the datagram that the next message carries, in turn; nil: there is none.
func (f *carriedFlight) pick() []byte {
	if len(f.datagrams) == 0 {
		return nil
	}
	d := &f.datagrams[f.next%len(f.datagrams)]
	f.next = (f.next + 1) % len(f.datagrams)
	d.sent = true
	return d.b
}

// mayCarry reports whether the response to the request with this id may carry a
// datagram: the request is answered for the first time, and there were not too many.
func (f *carriedFlight) mayCarry(id stun.TransactionID) bool {
	if len(f.datagrams) == 0 || f.responses >= maxCarryingResponses || slices.Contains(f.answered[:], id) {
		return false
	}
	f.responses++
	f.answered[f.nextSlot] = id
	f.nextSlot = (f.nextSlot + 1) % maxCarriers
	return true
}

// appendTo appends the attributes of SPED. With empty, no datagram is carried.
func (f *carriedFlight) appendTo(w *stun.Builder, empty bool) {
	if !f.active() {
		return
	}
	var acks [4 * maxFlightAcks]byte
	n := 0
	for _, sum := range f.received[max(0, f.count-maxFlightAcks):f.count] {
		binary.BigEndian.PutUint32(acks[n:], sum)
		n += 4
	}
	w.Bytes(stun.AttrDTLSInSTUNAck, acks[:n])
	var b []byte
	if !empty {
		b = f.pick()
	}
	w.Bytes(stun.AttrDTLSInSTUN, b)
}

// receive handles the attributes of an authenticated message. It returns the datagram
// that the message carries; nil: it carries none, or one that has arrived before.
func (f *carriedFlight) receive(m stun.Message) (datagram []byte) {
	if f.state == spedOff || f.state == spedOver {
		return nil
	}
	b, carries := m.Get(stun.AttrDTLSInSTUN)
	acks, acknowledges := m.Get(stun.AttrDTLSInSTUNAck)
	switch {
	case f.state == spedEnding:
		if len(b) == 0 {
			f.state = spedOver
		}
	case !carries && !acknowledges:
		f.state = spedSilent
		f.drop()
		return nil
	default:
		f.state = spedActive
	}
	f.acknowledge(acks)
	if len(b) == 0 || b[0] < 20 || b[0] > 63 {
		return nil // RFC 7983 §7: the value is no DTLS
	}
	f.used = true
	if !f.note(crc32.ChecksumIEEE(b)) {
		return nil
	}
	return b
}

// note remembers that a datagram has arrived. It reports whether it is new.
func (f *carriedFlight) note(sum uint32) bool {
	if slices.Contains(f.received[:f.count], sum) {
		return false
	}
	if f.count == maxFlightsReceived {
		copy(f.received[:], f.received[1:])
		f.count--
	}
	f.received[f.count] = sum
	f.count++
	return true
}

// acknowledge removes the datagrams that the remote agent has received.
func (f *carriedFlight) acknowledge(acks []byte) {
	for n := 0; len(acks) >= 4 && n < maxRemoteAcks; n++ {
		sum := binary.BigEndian.Uint32(acks)
		acks = acks[4:]
		i := slices.IndexFunc(f.datagrams, func(d carriedDatagram) bool { return d.sent && d.sum == sum })
		if i < 0 {
			continue
		}
		f.used = true
		f.datagrams = slices.Delete(f.datagrams, i, i+1)
		if f.next > i {
			f.next--
		}
	}
}

// EnableSPED makes checks carry DTLS datagrams. With announced, the remote agent is
// known to have SPED. Otherwise its first message with an attribute of SPED shows it.
func (a *Agent) EnableSPED(announced bool) {
	switch f := &a.carried; {
	case f.state == spedOff:
		f.state = spedSilent
		if announced {
			f.state = spedActive
		}
	case f.state == spedSilent && announced:
		f.state = spedActive
	}
}

// SPED reports whether checks have carried a DTLS datagram that has arrived, in either
// direction.
func (a *Agent) SPED() bool { return a.carried.used }

// CarriesFlights reports whether flights go in checks at present: the remote agent has
// SPED, and no pair is selected on which they could go directly.
func (a *Agent) CarriesFlights() bool {
	return a.carried.state == spedActive && a.selected == nil && a.state != StateClosed && a.state != StateFailed
}

// CarryLimit returns the longest datagram in bytes that a check of at most size bytes
// of UDP payload carries; 0: no datagram can be carried now.
func (a *Agent) CarryLimit(size int) int {
	if !a.CarriesFlights() || len(a.carried.datagrams) >= maxCarried {
		return 0
	}
	// Header, PRIORITY, role, USE-CANDIDATE, NOMINATION, integrity, fingerprint, the
	// acknowledgements, the header of DTLS-IN-STUN and its padding.
	const attributes = 20 + 8 + 12 + 4 + 8 + 24 + 8 + 4 + 4*maxFlightAcks + 4 + 3
	size -= attributes + 4 + (len(a.cur.username)+3)&^3
	if len(a.gather.relays) > 0 || len(a.gather.servers) > 0 {
		size -= relayOverhead
	}
	return max(0, size)
}

// relayOverhead is how many bytes the framing of a relayed check has at most: a Send
// indication for an IPv6 address, with padding (RFC 8656 §11.1).
const relayOverhead = 20 + 24 + 4 + 3

// CarryDatagram gives the agent a copy of one more datagram of the present flight, of
// at most CarryLimit bytes. The owner calls DropFlight before the first datagram of the
// next flight.
//
// Messages carry the datagrams in turn. Additional checks carry those for which no
// message is on its way: the flight is to arrive within half a round trip.
func (a *Agent) CarryDatagram(now time.Time, b []byte) {
	if !a.CarriesFlights() || len(a.carried.datagrams) >= maxCarried {
		return
	}
	a.carried.carry(b)
	if p := a.carrier; p != nil && p.gen == a.cur && p.state != PairFailed {
		a.push(now, p, true)
		return
	}
	for _, p := range a.cur.pairs {
		if p.state == PairInProgress {
			p.pushed = true // the check itself was sent before the flight existed
			a.push(now, p, false)
		}
	}
}

// DropFlight drops the present flight, because the handshake goes on without it.
func (a *Agent) DropFlight() { a.carried.drop() }

// UnsentDatagram returns a datagram of the flight that no check has carried, once a pair
// is selected on which it can be sent directly. ok is false if there is none.
func (a *Agent) UnsentDatagram() (b []byte, ok bool) {
	if a.selected == nil {
		return nil, false
	}
	return a.carried.takeUnsent()
}

// HandshakeDone says that the local DTLS handshake is over.
func (a *Agent) HandshakeDone() {
	a.carried.drop()
	switch a.carried.state {
	case spedActive:
		a.carried.state = spedEnding
	case spedSilent:
		a.carried.state = spedOver
	}
}

// push queues one additional check of p that carries a datagram. With onlyUnsent, it is
// omitted if messages that precede it carry the whole flight.
func (k *checks) push(now time.Time, p *pair, onlyUnsent bool) {
	if k.lite || p.gen.remoteKey == nil || k.carried.pushes >= maxPushes || !p.permitted(now) {
		return
	}
	k.carried.pushes++
	k.out.push(item{kind: itemPush, pair: p, onlyUnsent: onlyUnsent})
}

// pushRest queues additional checks of p for the rest of the flight, of which the check
// that was just queued carries the first datagram.
func (k *checks) pushRest(now time.Time, p *pair) {
	if p.pushed || k.selected != nil || k.carried.state != spedActive || len(k.carried.datagrams) == 0 {
		return
	}
	p.pushed = true
	for range len(k.carried.datagrams) - 1 {
		k.push(now, p, false)
	}
}

// appendPush appends the additional check that item i stands for. ok is false if it is
// not needed any more.
func (a *Agent) appendPush(now time.Time, dst []byte, i item) (b []byte, r Route, ok bool) {
	p, f := i.pair, &a.carried
	if p.state == PairFailed || len(f.datagrams) == 0 || i.onlyUnsent && !f.unsent() || !a.CarriesFlights() {
		return dst, Route{}, false
	}
	p.transactions.add(transaction{id: a.random.transactionID(), controlling: a.controlling, nominates: a.controlling && p.nominating})
	b = a.appendRequest(now, p.local.begin(dst, p.route.Remote), p)
	b, r = p.local.finish(b, len(dst), p.route.Remote)
	a.trace.sent(now, p)
	return b, r, true
}

// CarriesDTLS reports whether b is a STUN message that carries a DTLS datagram.
// The message need not be authentic.
func CarriesDTLS(b []byte) bool {
	m, err := stun.Parse(b)
	if err != nil {
		return false
	}
	datagram, _ := m.Get(stun.AttrDTLSInSTUN)
	return len(datagram) > 0
}
