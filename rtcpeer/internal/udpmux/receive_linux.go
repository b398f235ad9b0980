//go:build !386

package udpmux

import (
	"encoding/binary"
	"net"
	"net/netip"
	"syscall"
	"unsafe"
)

// A receiver reads a socket without ever waiting in the kernel, which those of
// package net do: where a datagram turns out to have a wrong checksum, even
// after one was seen to be there.
type receiver struct {
	try    func(fd uintptr) bool
	borrow func(fd uintptr) bool // tries with a borrowed buffer
	lent   *readBuffer           // by borrow
	header syscall.Msghdr
	iovec  syscall.Iovec
	name   [syscall.SizeofSockaddrInet6]byte
	n      int
	zone   struct { // of link-local addresses: the last one's
		id   uint32
		name string
	}
	errno syscall.Errno
}

func (x *receiver) init() {
	x.try = func(fd uintptr) bool {
		x.header.Namelen = uint32(len(x.name))
		x.header.SetControllen(oobSize)
		// RawSyscall, since it takes no longer than a copy.
		n, _, errno := syscall.RawSyscall(syscall.SYS_RECVMSG, fd, uintptr(unsafe.Pointer(&x.header)), syscall.MSG_DONTWAIT)
		x.n, x.errno = int(n), errno
		return errno != syscall.EAGAIN && errno != syscall.EINTR
	}
	x.borrow = func(fd uintptr) bool {
		b := borrowBuffer()
		x.into(b)
		if !x.try(fd) {
			x.release()
			returnBuffer(b)
			return false
		}
		x.lent = b
		return true
	}
}

// receive takes the datagram that look finds with try.
func (x *receiver) receive(raw syscall.RawConn, look func(fd uintptr), b *readBuffer) (n, oobn int, from netip.AddrPort, err error) {
	x.into(b)
	return x.received(raw.Control(look))
}

// await waits for a datagram; if b is nil, without a buffer.
func (x *receiver) await(raw syscall.RawConn, b *readBuffer) (filled *readBuffer, n, oobn int, from netip.AddrPort, err error) {
	if b != nil {
		x.into(b)
		err = raw.Read(x.try)
	} else {
		err = raw.Read(x.borrow)
		b, x.lent = x.lent, nil
	}
	n, oobn, from, err = x.received(err)
	return b, n, oobn, from, err
}

func (x *receiver) into(b *readBuffer) {
	x.iovec.Base = &b.b[0]
	x.iovec.SetLen(len(b.b))
	x.header.Name, x.header.Control = &x.name[0], &b.oob[0]
	x.header.Iov, x.header.Iovlen = &x.iovec, 1
}

// release lets go of the buffer, which is not its own.
func (x *receiver) release() { x.iovec.Base, x.header.Control = nil, nil }

// received is what a look brought.
func (x *receiver) received(err error) (n, oobn int, from netip.AddrPort, _ error) {
	x.release()
	if err != nil {
		return 0, 0, from, err
	}
	if x.errno != 0 {
		return 0, 0, from, x.errno
	}
	port := binary.BigEndian.Uint16(x.name[2:])
	switch binary.NativeEndian.Uint16(x.name[:]) {
	case syscall.AF_INET:
		from = netip.AddrPortFrom(netip.AddrFrom4([4]byte(x.name[4:])), port)
	case syscall.AF_INET6:
		from = netip.AddrPortFrom(x.ipv6(), port)
	}
	return x.n, int(x.header.Controllen), from, nil
}

// ipv6 is the address in name, with the zone's name, as package net has it.
func (x *receiver) ipv6() netip.Addr {
	a := netip.AddrFrom16([16]byte(x.name[8:]))
	id := binary.NativeEndian.Uint32(x.name[24:])
	if id == 0 || !a.IsLinkLocalUnicast() {
		return a
	}
	if id != x.zone.id {
		i, err := net.InterfaceByIndex(int(id))
		if err != nil {
			return a
		}
		x.zone.id, x.zone.name = id, i.Name
	}
	return a.WithZone(x.zone.name)
}
