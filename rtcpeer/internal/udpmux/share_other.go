//go:build !linux && !darwin && !windows

package udpmux

import "syscall"

// shareAddress fails: there is no multicast here.
func shareAddress(_, _ string, _ syscall.RawConn) error { return ErrUnsupported }
