package rtcpeer

import (
	"io"
	"slices"
	"time"
)

// stack is the built-in Extension. What belongs to one connection is a peer;
// Initialize makes a new one.
type stack struct {
	peer   *peer
	notify func()

	// What tests set in place of the machine's.
	random  io.Reader
	network network
	now     func() time.Time // with it, nothing is done by timers
}

func newStack() *stack { return &stack{notify: func() {}} }

// Notify is of Extension.
func (s *stack) Notify(f func()) { s.notify = f }

// Initialize is of Extension.
func (s *stack) Initialize(cfg Config) error {
	s.Close()
	cfg.ICEServers = slices.Clone(cfg.ICEServers) // the caller's may change
	cfg.LocalAddresses = slices.Clone(cfg.LocalAddresses)
	p, err := newPeer(cfg, s.random, s.notify)
	if err != nil {
		return err
	}
	switch {
	case s.network != nil:
		p.network, p.multicast = s.network, false
	case cfg.Host != nil:
		p.network = hostNetwork{cfg.Host}
	}
	if s.now != nil {
		p.now, p.timed = s.now, false
	}
	if cfg.Filter != nil {
		p.network = filteredNetwork{p.network, cfg.Filter}
	}
	s.peer = p
	return nil
}

// CreateDataChannel is of Extension.
func (s *stack) CreateDataChannel(label string, o ChannelOptions) (ChannelExtension, error) {
	c, err := s.peer.openChannel(label, o)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// CreateOffer is of Extension.
func (s *stack) CreateOffer() error { return s.peer.createOffer() }

// SetLocalDescription is of Extension.
func (s *stack) SetLocalDescription(typ, sdp string) error {
	return s.peer.setLocalDescription(typ, sdp)
}

// SetRemoteDescription is of Extension.
func (s *stack) SetRemoteDescription(typ, sdp string) error {
	return s.peer.setRemoteDescription(typ, sdp)
}

// AddICECandidate is of Extension.
func (s *stack) AddICECandidate(media string, index int, name string) error {
	return s.peer.addICECandidate(media, index, name)
}

// NextEvent is of Extension.
func (s *stack) NextEvent() (Event, bool) {
	if s.peer == nil {
		return Event{}, false
	}
	return s.peer.nextEvent()
}

// Close is of Extension.
func (s *stack) Close() error {
	if s.peer != nil {
		s.peer.close()
	}
	return nil
}

func (s *stack) restartICE() error                       { return s.peer.restartICE() }
func (s *stack) setICEServers(servers []ICEServer) error { return s.peer.setICEServers(servers) }
