//go:build unix

package main

import (
	"fmt"
	"os"
	"syscall"
	"time"
)

// cpuTime is what the process has used of the processors.
func cpuTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// needFiles tells whether n files can be open. Go has raised the soft limit
// to the hard one already.
func needFiles(n int) error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil || uint64(l.Cur) >= uint64(n) {
		return nil
	}
	return fmt.Errorf("%d files would be open, and %d are allowed: raise the hard limit (ulimit -Hn), or use fewer connections", n, l.Cur)
}

// standardInput is os.Stdin. If it is a pipe, nobody waits for it in the
// kernel, where each read would occupy a thread: the runtime takes the
// processor away from one that blocks, and looks after those that may every 20
// µs, which took a twentieth of what a connection costs.
func standardInput() *os.File {
	info, err := os.Stdin.Stat()
	if err != nil || info.Mode()&os.ModeNamedPipe == 0 || syscall.SetNonblock(syscall.Stdin, true) != nil {
		return os.Stdin
	}
	return os.NewFile(uintptr(syscall.Stdin), os.Stdin.Name())
}
