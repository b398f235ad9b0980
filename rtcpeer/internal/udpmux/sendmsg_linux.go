//go:build !386

package udpmux

import (
	"encoding/binary"
	"syscall"
	"unsafe"
)

// sendmsg gives datagrams to the kernel, without waiting for room. It does not
// tell the runtime that it is in a system call, as package syscall would: over
// the loopback interface the kernel brings the datagrams as far as the far end's
// socket meanwhile, which takes longer than the 20 µs after which the runtime
// has another thread go on in this one's place, and this one wait. Most often
// there is nothing for the other to do.
func sendmsg(fd int, p, oob []byte, to syscall.Sockaddr) error {
	var name [syscall.SizeofSockaddrInet6]byte
	iovec := syscall.Iovec{Base: unsafe.SliceData(p)}
	iovec.SetLen(len(p))
	header := syscall.Msghdr{Name: &name[0], Namelen: putSockaddr(&name, to), Iov: &iovec, Iovlen: 1}
	if len(oob) > 0 {
		header.Control = unsafe.SliceData(oob)
		header.SetControllen(len(oob))
	}
	for {
		_, _, errno := syscall.RawSyscall(syscall.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&header)), syscall.MSG_DONTWAIT)
		switch errno {
		case 0:
			return nil
		case syscall.EINTR:
			continue
		}
		return errno
	}
}

// putSockaddr writes an address as the kernel has it, and tells its length.
func putSockaddr(b *[syscall.SizeofSockaddrInet6]byte, to syscall.Sockaddr) uint32 {
	switch a := to.(type) {
	case *syscall.SockaddrInet4:
		binary.NativeEndian.PutUint16(b[:], syscall.AF_INET)
		binary.BigEndian.PutUint16(b[2:], uint16(a.Port))
		copy(b[4:], a.Addr[:])
		return syscall.SizeofSockaddrInet4
	case *syscall.SockaddrInet6:
		binary.NativeEndian.PutUint16(b[:], syscall.AF_INET6)
		binary.BigEndian.PutUint16(b[2:], uint16(a.Port))
		copy(b[8:], a.Addr[:])
		binary.NativeEndian.PutUint32(b[24:], a.ZoneId)
		return syscall.SizeofSockaddrInet6
	}
	return 0
}
