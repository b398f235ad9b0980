package udpmux

import "syscall"

// shareAddress lets several programs use the multicast DNS port. SO_REUSEADDR is
// enough if all of them set it, and each then gets every datagram to the group.
// SO_REUSEPORT is for programs that set only SO_REUSEPORT.
func shareAddress(_, _ string, c syscall.RawConn) error {
	var err error
	cerr := c.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
		syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, soReusePort, 1)
	})
	if cerr != nil {
		return cerr
	}
	return err
}
