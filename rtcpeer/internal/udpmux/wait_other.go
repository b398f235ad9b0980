//go:build !linux

package udpmux

import (
	"net"
	"time"
)

// A waiter does nothing here, because the read itself waits.
type waiter struct{}

func (w *waiter) init(*net.UDPConn, time.Duration) error { return nil }

func (w *waiter) wait() error { return nil }
