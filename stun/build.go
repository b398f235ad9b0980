package stun

import (
	"encoding/binary"
	"net/netip"
)

// A Builder appends one STUN message to a slice. Its methods append attributes in the
// order of the calls. Each call updates the length in the header, so the message is
// complete after each call.
type Builder struct {
	b     []byte
	start int
}

// Build begins a message at the end of dst.
func Build(dst []byte, t Type, id TransactionID) Builder {
	w := Builder{b: dst, start: len(dst)}
	w.b = binary.BigEndian.AppendUint16(w.b, uint16(t))
	w.b = append(w.b, 0, 0)
	w.b = binary.BigEndian.AppendUint32(w.b, magicCookie)
	w.b = append(w.b, id[:]...)
	return w
}

// Finish returns the slice that was given to Build, with the message appended.
func (w *Builder) Finish() []byte { return w.b }

// message returns the message as it was built so far.
func (w *Builder) message() []byte { return w.b[w.start:] }

// begin appends the header of an attribute with a value of n bytes.
func (w *Builder) begin(t AttrType, n int) {
	w.b = binary.BigEndian.AppendUint16(w.b, uint16(t))
	w.b = binary.BigEndian.AppendUint16(w.b, uint16(n))
}

// end pads the value of the attribute and updates the length in the header.
func (w *Builder) end() {
	for (len(w.b)-w.start)%4 != 0 {
		w.b = append(w.b, 0) // RFC 8489 §14: padding bytes MUST be zero
	}
	binary.BigEndian.PutUint16(w.b[w.start+2:], uint16(len(w.b)-w.start-HeaderSize))
}

// Bytes adds an attribute with the value v.
func (w *Builder) Bytes(t AttrType, v []byte) {
	w.begin(t, len(v))
	w.b = append(w.b, v...)
	w.end()
}

// String adds an attribute with the text s.
func (w *Builder) String(t AttrType, s string) {
	w.begin(t, len(s))
	w.b = append(w.b, s...)
	w.end()
}

// Flag adds an attribute without a value, such as USE-CANDIDATE.
func (w *Builder) Flag(t AttrType) {
	w.begin(t, 0)
	w.end()
}

// Uint32 adds a 32-bit attribute.
func (w *Builder) Uint32(t AttrType, v uint32) {
	w.begin(t, 4)
	w.b = binary.BigEndian.AppendUint32(w.b, v)
	w.end()
}

// Uint64 adds a 64-bit attribute.
func (w *Builder) Uint64(t AttrType, v uint64) {
	w.begin(t, 8)
	w.b = binary.BigEndian.AppendUint64(w.b, v)
	w.end()
}

// Addr adds an attribute with a transport address that is not xored, such as
// ALTERNATE-SERVER (RFC 8489 §14.1, §14.15).
func (w *Builder) Addr(t AttrType, a netip.AddrPort) { w.addr(t, a, false) }

// XORAddr adds an attribute with a transport address that is xored with the magic
// cookie and the transaction id, such as XOR-MAPPED-ADDRESS (RFC 8489 §14.2).
func (w *Builder) XORAddr(t AttrType, a netip.AddrPort) { w.addr(t, a, true) }

// ChannelNumber adds CHANNEL-NUMBER (RFC 8656 §18.1).
func (w *Builder) ChannelNumber(n uint16) { w.Uint32(AttrChannelNumber, uint32(n)<<16) }

// RequestedTransport adds REQUESTED-TRANSPORT (RFC 8656 §18.8). The protocol is an IP
// protocol number, for example 17 for UDP or 6 for TCP.
func (w *Builder) RequestedTransport(protocol uint8) {
	w.Uint32(AttrRequestedTransport, uint32(protocol)<<24)
}

// AddressFamily adds REQUESTED-ADDRESS-FAMILY or ADDITIONAL-ADDRESS-FAMILY
// (RFC 8656 §18.6, §18.11).
func (w *Builder) AddressFamily(t AttrType, f Family) { w.Uint32(t, uint32(f)<<24) }
