//go:build unix

package main

import (
	"fmt"
	"os"
	"syscall"
	"time"
)

// cpuTime returns the processor time that this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// needFiles returns an error unless this process may have n open files. Go has already
// raised the soft limit to the hard limit.
func needFiles(n int) error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil || uint64(l.Cur) >= uint64(n) {
		return nil
	}
	return fmt.Errorf("%d files would be open, and %d are allowed: raise the hard limit (ulimit -Hn), or use fewer connections", n, l.Cur)
}

// standardInput returns os.Stdin. If it is a pipe, the runtime's poller is used to
// wait for it. A blocking read would occupy a thread. The runtime checks such a thread
// every 20 µs and takes its processor away, which cost 5 % of the processor time of a
// connection.
func standardInput() *os.File {
	info, err := os.Stdin.Stat()
	if err != nil || info.Mode()&os.ModeNamedPipe == 0 || syscall.SetNonblock(syscall.Stdin, true) != nil {
		return os.Stdin
	}
	return os.NewFile(uintptr(syscall.Stdin), os.Stdin.Name())
}
