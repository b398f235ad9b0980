//go:build !linux && !darwin && !windows

package udpmux

import "syscall"

// shareAddress fails, because multicast is not supported here.
func shareAddress(_, _ string, _ syscall.RawConn) error { return ErrUnsupported }
