//go:build !linux || 386

package udpmux

import (
	"context"
	"syscall"
)

// A turn is the reader's always: nobody lingers here.
type turn struct{}

func (t *turn) init(syscall.RawConn) {}

func (t *turn) linger() (lent bool) { return false }

func (t *turn) wakeReader() {}

// Lead returns false: the reader is the only one that reads.
func (p *Port) Lead(context.Context, <-chan struct{}) (led bool) { return false }
