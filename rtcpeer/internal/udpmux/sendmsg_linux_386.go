package udpmux

import "syscall"

func sendmsg(fd int, p, oob []byte, to syscall.Sockaddr) error {
	for {
		_, err := syscall.SendmsgN(fd, p, oob, to, syscall.MSG_DONTWAIT)
		if err != syscall.EINTR {
			return err
		}
	}
}
