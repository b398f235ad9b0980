//go:build !linux

package udpmux

import (
	"net"
	"net/netip"
)

// A sender makes the system calls with package net. On these systems a UDP socket with
// a full buffer drops or refuses a datagram, and seldom blocks.
type sender struct {
	conn *net.UDPConn
}

func (x *sender) init(s *Socket) error {
	x.conn = s.conn
	return nil
}

func (x *sender) trySend(b []byte, segment int, local netip.Addr, remote netip.AddrPort) error {
	_, err := x.conn.WriteToUDPAddrPort(b, remote)
	return err
}

func isFull(error) bool { return false }

func gsoRefused(error) (never, once bool) { return false, false }

// whenWritable is never needed, because no socket is ever full here.
func (x *sender) whenWritable(f func() bool) error {
	f()
	return nil
}
