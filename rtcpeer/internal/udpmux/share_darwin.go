package udpmux

import "syscall"

// shareAddress lets several programs use the multicast DNS port. On this system that
// requires SO_REUSEPORT, which the system's own responder also sets.
func shareAddress(_, _ string, c syscall.RawConn) error {
	var err error
	cerr := c.Control(func(fd uintptr) {
		syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
		err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEPORT, 1)
	})
	if cerr != nil {
		return cerr
	}
	return err
}
