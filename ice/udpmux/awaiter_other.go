//go:build !linux

package udpmux

import "net"

// An awaiter waits for something to read. Here it does not: the read that
// follows waits, with its buffer.
type awaiter struct{}

func (a *awaiter) init(*net.UDPConn) error { return nil }

func (a *awaiter) await() {}
