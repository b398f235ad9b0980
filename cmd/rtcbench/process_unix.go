//go:build unix

package main

import (
	"fmt"
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
