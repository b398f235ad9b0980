//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package rtcpeer

import (
	"os"
	"syscall"
)

// openChangeSource opens a routing socket, which reports changes of links, addresses
// and routes (route(4)).
func openChangeSource() (changeSource, error) {
	fd, err := syscall.Socket(syscall.AF_ROUTE, syscall.SOCK_RAW, syscall.AF_UNSPEC)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	syscall.CloseOnExec(fd)
	if err := syscall.SetNonblock(fd, true); err != nil {
		syscall.Close(fd)
		return nil, os.NewSyscallError("setnonblock", err)
	}
	return routeSocket{os.NewFile(uintptr(fd), "route")}, nil
}
