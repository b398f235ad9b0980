package turn

import (
	"encoding/binary"
	"net/netip"

	"purertc/stun"
)

// Sizes of the framing around data, in bytes.
const (
	channelHeader = 4 // RFC 8656 §12.4

	// sendIPv4 and sendIPv6 are the lengths of a Send indication without its data (RFC
	// 8656 §11.1): the header, XOR-PEER-ADDRESS, and the header of DATA. padding is
	// the maximum number of bytes after the data.
	attrHeader = 4
	sendIPv4   = stun.HeaderSize + attrHeader + 8 + attrHeader
	sendIPv6   = stun.HeaderSize + attrHeader + 20 + attrHeader
	padding    = 3
)

// IsChannelData reports whether a datagram looks like ChannelData: its first byte is
// 64 to 79 (RFC 8656 §12).
func IsChannelData(b []byte) bool { return len(b) >= channelHeader && b[0] >= 64 && b[0] <= 79 }

// Overhead returns how many bytes Begin and Finish add at most to data for peer.
func (c *Client) Overhead(peer netip.AddrPort) int {
	if ch := c.channelTo(peer); ch != nil && ch.bound {
		return channelHeader
	}
	if peer.Addr().Is4() {
		return sendIPv4 + padding
	}
	return sendIPv6 + padding
}

// Begin appends the framing that precedes data for peer. Finish completes the message.
func (c *Client) Begin(dst []byte, peer netip.AddrPort) []byte {
	if ch := c.channelTo(peer); ch != nil && ch.bound {
		dst = binary.BigEndian.AppendUint16(dst, ch.number)
		return append(dst, 0, 0)
	}
	w := stun.Build(dst, stun.NewType(stun.MethodSend, stun.ClassIndication), c.cfg.NewID())
	w.XORAddr(stun.AttrXORPeerAddress, peer)
	w.Bytes(stun.AttrData, nil)
	return w.Finish()
}

// Finish sets the lengths of the message that Begin began at b[start:].
func (c *Client) Finish(b []byte, start int) []byte {
	m := b[start:]
	if IsChannelData(m) {
		binary.BigEndian.PutUint16(m[2:], uint16(len(m)-channelHeader))
		return b
	}
	// XOR-PEER-ADDRESS is followed only by DATA. So the length of XOR-PEER-ADDRESS
	// gives the offset of DATA.
	data := stun.HeaderSize + attrHeader + int(binary.BigEndian.Uint16(m[stun.HeaderSize+2:]))
	binary.BigEndian.PutUint16(m[data+2:], uint16(len(m)-data-attrHeader))
	for (len(b)-start)%4 != 0 {
		b = append(b, 0)
	}
	binary.BigEndian.PutUint16(b[start+2:], uint16(len(b)-start-stun.HeaderSize))
	return b
}

// ChannelData processes ChannelData from the server. It returns the sender, and the
// data as a part of b. Bytes after the data are the padding that RFC 8656 §12.5
// allows.
func (c *Client) ChannelData(b []byte) (peer netip.AddrPort, data []byte, ok bool) {
	if !IsChannelData(b) || c.state != ready {
		return netip.AddrPort{}, nil, false
	}
	i := int(binary.BigEndian.Uint16(b)) - firstChannel
	n := int(binary.BigEndian.Uint16(b[2:]))
	if i < 0 || i >= len(c.channels) || n > len(b)-channelHeader {
		return netip.AddrPort{}, nil, false
	}
	// A server may use a channel before its response to ChannelBind arrives.
	return c.channels[i].peer, b[channelHeader : channelHeader+n : channelHeader+n], true
}

// Indication processes a Data indication (RFC 8656 §11.4). An indication that reports
// an ICMP error has no data and is ignored, because checks will fail too.
func (c *Client) Indication(m stun.Message) (peer netip.AddrPort, data []byte, ok bool) {
	if c.state != ready || m.Type() != stun.NewType(stun.MethodData, stun.ClassIndication) {
		return netip.AddrPort{}, nil, false
	}
	data, ok = m.Get(stun.AttrData)
	if !ok || len(m.AppendUnknown(c.unknown[:0], nil)) > 0 {
		return netip.AddrPort{}, nil, false
	}
	peer, ok = m.XORAddr(stun.AttrXORPeerAddress)
	return peer, data, ok
}
