//go:build !386

package udpmux

import (
	"syscall"
	"testing"
	"unsafe"
)

// TestPutSockaddr compares the written addresses with the kernel's structures in
// package syscall.
func TestPutSockaddr(t *testing.T) {
	const port = 0x1234
	var b [syscall.SizeofSockaddrInet6]byte
	if n := putSockaddr(&b, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{192, 0, 2, 1}}); n != syscall.SizeofSockaddrInet4 {
		t.Errorf("an IPv4 address has %d bytes", n)
	}
	four := *(*syscall.RawSockaddrInet4)(unsafe.Pointer(&b))
	if want := (syscall.RawSockaddrInet4{Family: syscall.AF_INET, Port: bigEndian(port), Addr: [4]byte{192, 0, 2, 1}}); four != want {
		t.Errorf("got %v, want %v", four, want)
	}
	b = [syscall.SizeofSockaddrInet6]byte{}
	addr := [16]byte{0xfe, 0x80, 15: 9}
	if n := putSockaddr(&b, &syscall.SockaddrInet6{Port: port, ZoneId: 77, Addr: addr}); n != syscall.SizeofSockaddrInet6 {
		t.Errorf("an IPv6 address has %d bytes", n)
	}
	six := *(*syscall.RawSockaddrInet6)(unsafe.Pointer(&b))
	if want := (syscall.RawSockaddrInet6{Family: syscall.AF_INET6, Port: bigEndian(port), Addr: addr, Scope_id: 77}); six != want {
		t.Errorf("got %v, want %v", six, want)
	}
}

// bigEndian returns the number that has the bytes of port in memory, with the high
// byte first.
func bigEndian(port uint16) (n uint16) {
	*(*[2]byte)(unsafe.Pointer(&n)) = [2]byte{byte(port >> 8), byte(port)}
	return n
}
