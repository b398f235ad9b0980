//go:build !386

package udpmux

import (
	"encoding/binary"
	"syscall"
	"unsafe"
)

// sendmsg gives datagrams to the kernel, without waiting for room. Unlike package
// syscall it does not report the system call to the runtime. On the loopback interface
// the call carries the datagrams to the remote socket, which takes longer than 20 µs.
// After that time the runtime would give the processor to another thread, although
// there is usually nothing else to do.
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

// putSockaddr writes an address in the kernel's format and returns its length.
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
