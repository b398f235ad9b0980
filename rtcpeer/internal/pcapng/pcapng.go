// Package pcapng writes packet captures in the format pcapng
// (draft-ietf-opsawg-pcapng). A capture has two interfaces: Datagrams, whose packets are
// UDP datagrams in IP packets that the Writer makes up from addresses, and Messages, whose
// packets are SCTP packets without anything around them. Secrets blocks hold the keys
// with which Wireshark decrypts the datagrams. Several captures may share a file: each
// begins a section, all sections have the same interfaces, and a packet of one capture may
// be in the section of another.
package pcapng

import (
	"encoding/binary"
	"io"
	"net/netip"
	"time"
)

// An Interface is the interface on which a packet was captured.
type Interface uint32

// The interfaces of a capture, in the order of their descriptions.
const (
	Datagrams Interface = iota // link type RAW: IP packets
	Messages                   // link type SCTP
)

// A Direction says which way a packet went. Its values are those of epb_flags (§4.3.1).
type Direction uint32

// The directions.
const (
	Inbound  Direction = 1
	Outbound Direction = 2
)

const (
	blockSection   = 0x0A0D0D0A // Section Header Block (§4.1)
	blockInterface = 1          // Interface Description Block (§4.2)
	blockPacket    = 6          // Enhanced Packet Block (§4.3)
	blockSecrets   = 10         // Decryption Secrets Block (§4.7)

	byteOrderMagic = 0x1A2B3C4D
	tlsKeyLog      = 0x544c534b // secrets in the NSS key log format, of TLS and DTLS
	linkRaw        = 101        // LINKTYPE_RAW: the first nibble says which IP version it is
	linkSCTP       = 248        // LINKTYPE_SCTP

	optEnd        = 0
	optComment    = 1
	optUserAppl   = 4 // of a section
	optName       = 2 // of an interface
	optResolution = 9 // of an interface: the exponent of its time unit
	optFlags      = 2 // of a packet
)

// A Writer collects blocks, and writes them by Flush. It is not safe for concurrent use.
type Writer struct {
	w       io.Writer
	begun   bool   // the section header is written, or in buf
	secrets []byte // blocks of secrets since the last Flush
	buf     []byte // blocks of packets since the last Flush
	failed  bool   // w has returned an error, and gets nothing more
}

// New returns a Writer to w.
func New(w io.Writer) *Writer { return &Writer{w: w} }

// Secrets adds lines of an NSS key log. They are written before all packets since the last
// Flush, because Wireshark needs them before the first packet that they decrypt.
func (c *Writer) Secrets(lines []byte) {
	b, start := begin(c.secrets, blockSecrets)
	b = binary.LittleEndian.AppendUint32(b, tlsKeyLog)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(lines)))
	c.secrets = end(pad(append(b, lines...), len(lines)), start)
}

// Message adds an SCTP packet to the interface Messages.
func (c *Writer) Message(now time.Time, d Direction, packet []byte) {
	b, start := begin(c.buf, blockPacket)
	b = appendPacketHeader(b, Messages, now, len(packet))
	b = pad(append(b, packet...), len(packet))
	c.buf = end(appendPacketOptions(b, d, ""), start)
}

// Datagram adds a UDP datagram to the interface Datagrams. An address of from that is not
// known is written as the unspecified one. A payload that is too long for an IP packet is
// left out. comment is shown with the packet; "": there is none.
func (c *Writer) Datagram(now time.Time, d Direction, from, to netip.AddrPort, payload []byte, comment string) {
	src, dst := from.Addr().Unmap(), to.Addr().Unmap()
	header := ip4Header
	if src.Is6() || dst.Is6() {
		header = ip6Header
	}
	src, dst = sameFamily(src, header), sameFamily(dst, header)
	n := header + udpHeader + len(payload)
	if n > 65535 {
		return
	}
	b, start := begin(c.buf, blockPacket)
	b = appendPacketHeader(b, Datagrams, now, n)
	b = appendIP(b, src, dst, udpHeader+len(payload))
	b = appendUDP(b, netip.AddrPortFrom(src, from.Port()), netip.AddrPortFrom(dst, to.Port()), payload)
	c.buf = end(appendPacketOptions(pad(b, n), d, comment), start)
}

// Flush writes the blocks since the last Flush in one call of the writer. It returns the
// error of the writer once. After an error it writes nothing more.
func (c *Writer) Flush() error {
	if len(c.secrets)+len(c.buf) == 0 {
		return nil
	}
	var b []byte
	switch {
	case !c.begun:
		c.begun = true
		b = append(append(appendHeader(nil), c.secrets...), c.buf...)
	case len(c.secrets) > 0:
		b = append(c.secrets, c.buf...)
	default:
		b = c.buf
	}
	c.secrets, c.buf = c.secrets[:0], c.buf[:0]
	if c.failed {
		return nil
	}
	n, err := c.w.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	c.failed = err != nil
	return err
}

// appendHeader appends the section header and the interfaces.
func appendHeader(b []byte) []byte {
	b, start := begin(b, blockSection)
	b = binary.LittleEndian.AppendUint32(b, byteOrderMagic)
	b = append(b, 1, 0, 0, 0)                           // version 1.0
	b = binary.LittleEndian.AppendUint64(b, ^uint64(0)) // the length of the section is unknown
	b = appendOption(b, optUserAppl, "purertc")
	b = end(appendEnd(b), start)
	for _, i := range []struct {
		link uint16
		name string
	}{{linkRaw, "datagrams"}, {linkSCTP, "decrypted SCTP"}} {
		b, start = begin(b, blockInterface)
		b = binary.LittleEndian.AppendUint16(b, i.link)
		b = append(b, 0, 0, 0, 0, 0, 0) // reserved; no limit of captured bytes
		b = appendOption(b, optName, i.name)
		b = appendOption(b, optResolution, "\x09") // nanoseconds
		b = end(appendEnd(b), start)
	}
	return b
}

// begin appends the head of a block. end sets its length.
func begin(b []byte, typ uint32) (_ []byte, start int) {
	start = len(b)
	b = binary.LittleEndian.AppendUint32(b, typ)
	return append(b, 0, 0, 0, 0), start
}

// end ends the block that begins at start.
func end(b []byte, start int) []byte {
	n := uint32(len(b) + 4 - start)
	binary.LittleEndian.PutUint32(b[start+4:], n)
	return binary.LittleEndian.AppendUint32(b, n)
}

// pad appends the padding of n bytes to a multiple of four.
func pad(b []byte, n int) []byte {
	var zero [3]byte
	return append(b, zero[:-n&3]...)
}

func appendPacketHeader(b []byte, i Interface, now time.Time, n int) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(i))
	t := uint64(now.UnixNano())
	b = binary.LittleEndian.AppendUint32(b, uint32(t>>32))
	b = binary.LittleEndian.AppendUint32(b, uint32(t))
	b = binary.LittleEndian.AppendUint32(b, uint32(n)) // captured
	return binary.LittleEndian.AppendUint32(b, uint32(n))
}

func appendPacketOptions(b []byte, d Direction, comment string) []byte {
	b = append(b, optFlags, 0, 4, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(d))
	if comment != "" {
		b = appendOption(b, optComment, comment)
	}
	return appendEnd(b)
}

func appendOption(b []byte, code uint16, value string) []byte {
	b = binary.LittleEndian.AppendUint16(b, code)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(value)))
	return pad(append(b, value...), len(value))
}

// appendEnd appends the end of a list of options.
func appendEnd(b []byte) []byte { return append(b, optEnd, 0, 0, 0) }
