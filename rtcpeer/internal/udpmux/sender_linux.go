package udpmux

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"syscall"
)

// rawWriter is the part of syscall.RawConn that the sender uses.
type rawWriter interface {
	Control(f func(fd uintptr)) error
	Write(f func(fd uintptr) bool) error
}

// A sender makes the system calls. Go's own UDP writes block while the socket is full,
// and a transport would hold its lock during that time.
type sender struct {
	raw  rawWriter
	ipv6 bool // the socket's family is IPv6

	// The current send. Its values are in fields so that nothing escapes to the heap.
	call    func(fd uintptr)
	sendmsg func(fd int, p, oob []byte, to syscall.Sockaddr) error
	b       []byte
	oob     []byte
	to4     syscall.SockaddrInet4
	to6     syscall.SockaddrInet6
	err     error

	zones map[string]uint32 // interface indices of zones
}

func (x *sender) init(s *Socket) error {
	raw, err := s.conn.SyscallConn()
	if err != nil {
		return err
	}
	x.raw, x.ipv6 = raw, isIPv6(s.conn)
	x.oob = make([]byte, 0, oobSize)
	x.sendmsg = sendmsg
	x.call = func(fd uintptr) { x.transmit(int(fd)) }
	return nil
}

// transmit makes the system call for the current send.
func (x *sender) transmit(fd int) {
	if x.ipv6 {
		x.err = x.sendmsg(fd, x.b, x.oob, &x.to6)
	} else {
		x.err = x.sendmsg(fd, x.b, x.oob, &x.to4)
	}
}

// trySend gives one burst to the kernel.
func (x *sender) trySend(b []byte, segment int, local netip.Addr, remote netip.AddrPort) error {
	if segment >= len(b) {
		segment = 0
	}
	if !x.ipv6 && (!remote.Addr().Is4() || local.IsValid() && !local.Is4()) {
		return syscall.EAFNOSUPPORT
	}
	x.b = b
	x.oob = appendControl(x.oob[:0], segment, local, x.ipv6)
	if x.ipv6 {
		x.to6.Addr, x.to6.Port = remote.Addr().As16(), int(remote.Port())
		x.to6.ZoneId = x.zoneID(remote.Addr().Zone())
	} else {
		x.to4.Addr, x.to4.Port = remote.Addr().As4(), int(remote.Port())
	}
	if err := x.raw.Control(x.call); err != nil {
		x.err = err
	}
	x.b = nil
	return x.err
}

func isFull(err error) bool {
	return errors.Is(err, syscall.EAGAIN)
}

// whenWritable calls f each time when the socket may have room, until f returns true.
// f may send. whenWritable must run on a separate goroutine.
func (x *sender) whenWritable(f func() bool) error {
	return x.raw.Write(func(uintptr) bool { return f() })
}

const maxZones = 64

// zoneID returns the interface index of a zone, which is an interface's name or the
// index itself.
func (x *sender) zoneID(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if id, ok := x.zones[zone]; ok {
		return id
	}
	var id uint32
	if i, err := net.InterfaceByName(zone); err == nil {
		id = uint32(i.Index)
	} else if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		id = uint32(n)
	}
	if len(x.zones) >= maxZones {
		x.zones = nil
	}
	if x.zones == nil {
		x.zones = map[string]uint32{}
	}
	x.zones[zone] = id
	return id
}

// gsoRefused reports whether err says that the device never does segmentation (never),
// or that the device has refused only the present burst (once).
func gsoRefused(err error) (never, once bool) {
	return errors.Is(err, syscall.EIO) || errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOPROTOOPT),
		errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EMSGSIZE)
}
