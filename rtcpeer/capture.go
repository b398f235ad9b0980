package rtcpeer

import (
	"io"
	"net/netip"
	"strings"
	"time"

	"purertc/ice"
	"purertc/rtcpeer/internal/pcapng"
)

// A packetCapture writes Config.PacketCapture. Its methods are called with the transport's
// lock held.
type packetCapture struct {
	w       *pcapng.Writer
	stopped bool // the writer has failed
}

// newPacketCapture returns a capture to w, or nil if w is nil.
func newPacketCapture(w io.Writer) *packetCapture {
	if w == nil {
		return nil
	}
	return &packetCapture{w: pcapng.New(w)}
}

// on reports whether packets are captured. c may be nil.
func (c *packetCapture) on() bool { return c != nil && !c.stopped }

// flush writes what was captured. It returns the error with which the capture has failed.
func (c *packetCapture) flush() error {
	if !c.on() {
		return nil
	}
	err := c.w.Flush()
	c.stopped = err != nil
	return err
}

// received captures a datagram that has arrived on route r. g knows the sockets.
func (c *packetCapture) received(now time.Time, g *gatherer, r ice.Route, b []byte) {
	if c.on() {
		local, over := g.socketOf(r)
		c.w.Datagram(now, pcapng.Inbound, r.Remote, local, b, over)
	}
}

// sent captures the datagrams of one write to route r.
func (c *packetCapture) sent(now time.Time, g *gatherer, r ice.Route, b []byte, segment int) {
	if !c.on() {
		return
	}
	local, over := g.socketOf(r)
	for len(b) > 0 {
		n := min(segment, len(b))
		c.w.Datagram(now, pcapng.Outbound, local, r.Remote, b[:n], over)
		b = b[n:]
	}
}

// message captures an SCTP packet that is sent, or was received, inside DTLS.
func (c *packetCapture) message(now time.Time, d pcapng.Direction, packet []byte) {
	if c.on() {
		c.w.Message(now, d, packet)
	}
}

// A secretsWriter adds the lines of a key log to a capture, and writes them to the
// program's own writer.
type secretsWriter struct {
	capture *packetCapture
	next    io.Writer // Config.KeyLogWriter; nil: none
}

func (s secretsWriter) Write(line []byte) (int, error) {
	if s.capture.on() {
		s.capture.w.Secrets(line)
	}
	if s.next == nil {
		return len(line), nil
	}
	return s.next.Write(line)
}

// keyLog returns the writer for dtls.Config.KeyLogWriter. next is the program's.
func (c *packetCapture) keyLog(next io.Writer) io.Writer {
	if c == nil {
		return next
	}
	return secretsWriter{c, next}
}

// mdnsPort is the port of multicast DNS (RFC 6762 §3).
const mdnsPort = 5353

// socketOf returns the local address of a route's datagrams for a capture, and what
// carries them if that is not UDP. A port that is not known is 0.
func (g *gatherer) socketOf(r ice.Route) (addr netip.AddrPort, over string) {
	if r.Sock == ice.SockMDNS {
		return netip.AddrPortFrom(r.Local, mdnsPort), ""
	}
	for _, l := range g.locals {
		if l.sock == r.Sock && (!r.Local.IsValid() || l.addr.Addr() == r.Local) {
			if l.tcp != ice.NotTCP {
				over = carriedOver + "TCP"
			}
			return l.addr, over
		}
	}
	for i := range g.connections {
		if s := &g.connections[i].server; s.Sock == r.Sock && s.Transport != ice.OverUDP {
			over = carriedOver + strings.ToUpper(s.Transport.String())
		}
	}
	return netip.AddrPortFrom(r.Local, 0), over
}

// carriedOver begins the comment of packets that UDP does not carry.
const carriedOver = "not UDP: carried over "
