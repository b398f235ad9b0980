//go:build !linux && !darwin && !dragonfly && !freebsd && !netbsd && !openbsd

package rtcpeer

import (
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"
)

// pollInterval is how often the addresses are listed where the standard library cannot
// wait for changes: Windows reports them only by callbacks of iphlpapi. It is shorter
// than the time after which a lost connection would be noticed.
const pollInterval = 3 * time.Second

// A poller lists the addresses at intervals.
type poller struct {
	last   []netip.Addr
	closed chan struct{}
	once   sync.Once
}

func openChangeSource() (changeSource, error) {
	all, err := machineAddresses()
	if err != nil {
		return nil, err
	}
	return &poller{last: all, closed: make(chan struct{})}, nil
}

func (p *poller) wait() error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		select {
		case <-p.closed:
			return os.ErrClosed
		case <-tick.C:
		}
		if all, err := machineAddresses(); err == nil && !slices.Equal(all, p.last) {
			p.last = all
			return nil
		}
	}
}

func (p *poller) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}
